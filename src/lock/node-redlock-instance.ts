/** Instances of the published `redlock` package: what is used of them, of which version, and on which nodes. */
import { ExclaimError } from "../errors.ts";

/** Of version 4: `new Redlock(clients)`. */
export interface Redlock4 {
  readonly servers: readonly unknown[];
  lock(resource: string, ttlMs: number): PromiseLike<unknown>;
  extend(lock: object, ttlMs: number): PromiseLike<unknown>;
  unlock(lock: object): PromiseLike<unknown>;
}

/** Of version 5: `new Redlock(clients)`. */
export interface Redlock5 {
  readonly clients: Iterable<unknown>;
  acquire(resources: string[], ttlMs: number): PromiseLike<unknown>;
  extend(lock: object, ttlMs: number): PromiseLike<unknown>;
  release(lock: object): PromiseLike<unknown>;
}

/** What is used of an instance's clients: those of ioredis fit. */
export interface RedisClient {
  evalsha(...args: readonly unknown[]): PromiseLike<unknown>;
  eval(...args: readonly unknown[]): PromiseLike<unknown>;
  get(key: string): PromiseLike<unknown>;
  pttl(key: string): PromiseLike<unknown>;
  /** Names the node in errors. The password is read only to keep it out of them. */
  readonly options?: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly path?: string | undefined;
    readonly password?: string | null | undefined;
  };
  readonly status?: string;
}

export interface Node {
  readonly name: string;
  readonly client: RedisClient;
}

/** What an instance is given in place of a node's client. */
export type StandIn = Pick<RedisClient, "evalsha" | "eval">;

export type Verb = "acquire" | "extend" | "release";

export interface Instance {
  readonly nodes: readonly Node[];
  /** Lets the instance do it once, on these clients. The key's value is `owner`. */
  run(verb: Verb, clients: readonly StandIn[], key: string, owner: string, ttlMs: number): PromiseLike<unknown>;
}

/**
 * Finds out the version and checks the nodes.
 * Throws CONFIG_INVALID: not an instance of a known version; no clients or an even number of them, one twice, something that is none.
 */
export function resolveInstance(instance: Redlock4 | Redlock5): Instance {
  if (isFour(instance)) {
    return {
      nodes: resolveNodes([...instance.servers]),
      run(verb, clients, key, owner, ttlMs) {
        const once: Redlock4 = Object.create(instance, changes(instance, owner, { servers: clients, retryCount: 0 }));
        if (verb === "acquire") return once.lock(key, ttlMs);
        const lock = { resource: key, value: owner, expiration: Number.POSITIVE_INFINITY };
        return verb === "extend" ? once.extend(lock, ttlMs) : once.unlock(lock);
      },
    };
  }
  if (!isFive(instance))
    throw invalid("fromRedlock() needs an instance of the package redlock, 4.2 or 5: new Redlock([client]).");
  return {
    nodes: resolveNodes([...instance.clients]),
    run(verb, clients, key, owner, ttlMs) {
      const settings = { ...Object(Reflect.get(instance, "settings")), retryCount: 0 };
      const once: Redlock5 = Object.create(instance, changes(instance, owner, { clients, settings }));
      if (verb === "acquire") return once.acquire([key], ttlMs);
      const lock = { resources: [key], value: owner, attempts: [], expiration: Number.POSITIVE_INFINITY };
      return verb === "extend" ? once.extend(lock, ttlMs) : once.release(lock);
    },
  };
}

function isFour(instance: Redlock4 | Redlock5): instance is Redlock4 {
  return Array.isArray(Object(instance).servers) && has(instance, ["lock", "extend", "unlock", "_random"]);
}

function isFive(instance: Redlock4 | Redlock5): instance is Redlock5 {
  const isIterable = typeof Object(Object(instance).clients)[Symbol.iterator] === "function";
  return isIterable && has(instance, ["acquire", "extend", "release", "_random"]);
}

function has(instance: object, methods: readonly string[]): boolean {
  return methods.every((method) => typeof Reflect.get(instance, method) === "function");
}

/**
 * What an object that is otherwise the instance has of its own for one call, so that the caller's instance stays as it is. Its locks
 * get the owner for their random value: what is on the nodes says whose it is. Its events go on to the caller's listeners, and none
 * of them can break a call.
 */
function changes(instance: object, owner: string, values: Record<string, unknown>): PropertyDescriptorMap {
  const emit = (...event: unknown[]): boolean => {
    try {
      return Boolean(Reflect.apply(Reflect.get(instance, "emit"), instance, event));
    } catch {
      return false;
    }
  };
  const all = { ...values, _random: () => owner, emit };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, { value, writable: true }]));
}

function resolveNodes(clients: readonly unknown[]): readonly Node[] {
  if (clients.length % 2 === 0) {
    const why = "an even number survives no more failures than one node less, and a vote split in halves is never decided";
    throw invalid(
      `fromRedlock() needs an instance with an odd number of clients (1, 3, 5, ...), not ${clients.length}: ${why}.`,
    );
  }
  return clients.map((client, index) => {
    if (!isClient(client)) throw invalid(`fromRedlock() needs an instance with ioredis clients: number ${index + 1} is none.`);
    const first = clients.indexOf(client);
    if (first !== index)
      throw invalid(`fromRedlock() needs a client per node: number ${index + 1} is number ${first + 1} again.`);
    const { host, port, path } = client.options ?? {};
    const name = path ?? (host && port ? `${host}:${port}` : `node ${index + 1} of ${clients.length}`);
    return { name: withoutSecrets(name, client), client };
  });
}

function isClient(client: unknown): client is RedisClient {
  return typeof client === "object" && client !== null && has(client, ["evalsha", "eval", "get", "pttl"]);
}

/**
 * Only the text of a client's error is kept, never the error: when a login failed, ioredis rejects our commands with the error of
 * its AUTH command, which carries the password.
 */
export function withoutSecrets(text: string, client: RedisClient): string {
  const password = client.options?.password;
  return (password ? text.replaceAll(password, "***") : text).replace(/\/\/[^/@\s]*@/g, "//***@");
}

export function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", message, { backend: "node-redlock" });
}
