/** The connections to the Redis a lock is held on. Whoever opened them closes them. */
import { ExclaimError } from "../errors.ts";

/** What errors tell of a connection. Passwords are read only to keep them out of errors. */
export interface RedisConnection {
  readonly options?: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly path?: string | undefined;
    readonly password?: string | null | undefined;
    readonly redisOptions?: { readonly password?: string | null | undefined } | undefined;
  };
  /** Told when Redis is silent, e.g. `reconnecting`. */
  readonly status?: string;
  readonly isCluster?: boolean;
}

/** What is used of a Redis client: ioredis 5 fits, and its `Cluster`. */
export interface RedisClient extends RedisConnection {
  evalsha(sha: string, keyCount: number, ...args: string[]): Promise<unknown>;
  eval(script: string, keyCount: number, ...args: string[]): Promise<unknown>;
  /** Used only with `replicas`. */
  wait?(count: number, timeoutMs: number): Promise<unknown>;
}

/** What is used of a connection that listens: ioredis 5 fits, with `autoResubscribe` as it is by default. */
export interface RedisSubscriber extends RedisConnection {
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  off(event: "message", listener: (channel: string, message: string) => void): unknown;
}

/** Throws CONFIG_INVALID: something that is no client, or cannot listen, or is to do both. */
export function assertConnections(client: RedisClient, subscriber: RedisSubscriber | undefined): void {
  if (typeof client?.evalsha !== "function") throw invalid("redis() needs an ioredis client.");
  if (subscriber === undefined) return;
  if (typeof subscriber?.subscribe !== "function") throw invalid("redis() needs an ioredis client as its subscriber.");
  const isOne: boolean = Object.is(client, subscriber);
  if (isOne) throw invalid("redis() needs a connection of its own to listen on: subscriber: client.duplicate().");
}

/** Throws CONFIG_INVALID. */
export function assertReplicas(client: RedisClient, { count, timeoutMs }: { count: number; timeoutMs: number }): void {
  if (client.isCluster === true)
    throw invalid("redis: replicas cannot be waited for in a cluster: its nodes have different ones.");
  if (typeof client.wait !== "function") throw invalid("redis: replicas need a client that knows the command WAIT.");
  for (const [name, value] of Object.entries({ count, timeoutMs })) {
    if (!(Number.isSafeInteger(value) && value > 0))
      throw invalid(`redis: replicas.${name} is a whole number from 1, not ${value}.`);
  }
}

/** Throws CONFIG_INVALID. */
export function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) throw invalid(`redis: ${name} is a positive number of ms, not ${valueMs}.`);
}

export function nameOf(connection: RedisConnection): string {
  const { host, port, path } = connection.options ?? {};
  const name = path ?? (host && port ? `${host}:${port}` : connection.isCluster === true ? "cluster" : "redis");
  return withoutSecrets(name, connection);
}

/**
 * Only the text of a client's error is kept, never the error: when a login failed, ioredis rejects our commands with the error of
 * its AUTH command, which carries the password.
 */
export function withoutSecrets(text: string, { options }: RedisConnection): string {
  let clean = text;
  for (const secret of [options?.password, options?.redisOptions?.password]) {
    if (secret) clean = clean.replaceAll(secret, "***");
  }
  return clean.replace(/\/\/[^/@\s]*@/g, "//***@");
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", message, { backend: "redis" });
}
