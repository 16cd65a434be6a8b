/** The masters a Redlock is held on, and what of them may be told. */
import { ExclaimError } from "../errors.ts";
import type { LockMode } from "./lock.ts";

/** What errors tell of a connection. */
export interface RedisConnection {
  /** Names the node in errors. The password is read only to keep it out of them. */
  readonly options?: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly path?: string | undefined;
    readonly password?: string | null | undefined;
  };
  /** Named in errors when a node is silent, e.g. `reconnecting`. */
  readonly status?: string;
}

/** What is used of a Redis client: ioredis 5 fits. One client is one node; whoever opened it closes it. */
export interface RedisClient extends RedisConnection {
  evalsha(sha: string, keyCount: number, ...args: string[]): Promise<unknown>;
  eval(script: string, keyCount: number, ...args: string[]): Promise<unknown>;
}

/** What is used of a connection that listens: ioredis 5 fits, with `autoResubscribe` as it is by default. */
export interface RedisSubscriber extends RedisConnection {
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  off(event: "message", listener: (channel: string, message: string) => void): unknown;
}

export interface Node {
  readonly name: string;
  readonly client: RedisClient;
}

/** A node as it is listened to. */
export interface Listener {
  readonly name: string;
  readonly subscriber: RedisSubscriber;
}

/**
 * Checks the clients and names their nodes.
 * Throws CONFIG_INVALID: no clients or an even number of them, one twice, something that is none.
 */
export function resolveNodes(clients: readonly RedisClient[]): readonly Node[] {
  if (!Array.isArray(clients)) throw invalid("redlock() needs a list of clients: redlock([client]).");
  if (clients.length % 2 === 0) {
    const why = "an even number survives no more failures than one node less, and can split into equal halves";
    throw invalid(`redlock() needs an odd number of clients (1, 3, 5, ...), not ${clients.length}: ${why}.`);
  }
  return clients.map((client, index) => {
    if (typeof client?.evalsha !== "function") throw invalid(`redlock() needs ioredis clients: clients[${index}] is none.`);
    const first = clients.indexOf(client);
    if (first !== index) throw invalid(`redlock() needs a client per node: clients[${index}] is clients[${first}] again.`);
    const { host, port, path } = client.options ?? {};
    const name = path ?? (host && port ? `${host}:${port}` : `node ${index + 1} of ${clients.length}`);
    return { name: withoutSecrets(name, client), client };
  });
}

/**
 * Checks the connections that listen.
 * Throws CONFIG_INVALID: not one for each client, one twice, one that commands are sent on too, something that is none.
 */
export function resolveSubscribers(subscribers: readonly RedisSubscriber[], nodes: readonly Node[]): readonly Listener[] {
  if (!Array.isArray(subscribers) || subscribers.length !== nodes.length) {
    throw invalid(`redlock() needs a subscriber for each of its ${nodes.length} clients, or none at all.`);
  }
  const taken = new Set<unknown>(nodes.map(({ client }) => client));
  return nodes.map(({ name }, index) => {
    const subscriber = subscribers[index];
    if (typeof subscriber?.subscribe !== "function")
      throw invalid(`redlock() needs ioredis subscribers: subscribers[${index}] is none.`);
    if (taken.has(subscriber)) {
      throw invalid(
        `redlock() needs connections of their own to listen on: subscribers[${index}] is in use, take client.duplicate().`,
      );
    }
    taken.add(subscriber);
    return { name, subscriber };
  });
}

/**
 * Only the text of a client's error is kept, never the error: when a login failed, ioredis rejects our commands with the error of
 * its AUTH command, which carries the password.
 */
export function withoutSecrets(text: string, client: RedisConnection): string {
  const password = client.options?.password;
  return (password ? text.replaceAll(password, "***") : text).replace(/\/\/[^/@\s]*@/g, "//***@");
}

export function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) throw invalid(`redlock: ${name} is a positive number of ms, not ${valueMs}.`);
}

export function assertExclusive(mode: LockMode | undefined): void {
  if (mode === "shared") throw invalid('redlock locks have no shared mode: use "exclusive", or another back-end.');
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", message, { backend: "redlock" });
}
