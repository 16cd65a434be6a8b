import { Redis, type RedisOptions } from "ioredis";
import { redisQuorumUrls, startRedisNodes } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";

/** Some independent Redis nodes, and clients of them that are closed together. */
export interface RedisNodes {
  /** One connected client a node, in the nodes' order. */
  connect(options?: RedisOptions): Promise<Redis[]>;
  /** What each node has under the key, read by clients of their own; null for nothing. */
  values(key: string): Promise<(string | null)[]>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Nodes that all tests share: fresh keys, and no flushing. At most five. */
export function sharedNodes(count: number): Promise<RedisNodes> {
  return clientsOf(redisQuorumUrls().slice(0, count), async () => undefined);
}

/** Nodes of our own, to be hung and killed. */
export async function privateNodes(count: number): Promise<RedisNodes & { readonly servers: readonly ServerProcess[] }> {
  const servers = await startRedisNodes(count);
  const nodes = await clientsOf(
    servers.map(({ url }) => url),
    async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  );
  return { ...nodes, servers };
}

async function clientsOf(urls: readonly string[], stop: () => Promise<void>): Promise<RedisNodes> {
  const opened: Redis[] = [];
  const connect = async (options: RedisOptions = {}) => {
    const clients = urls.map((url) => new Redis(url, { ...options, lazyConnect: true }));
    opened.push(...clients);
    // Nodes are killed on purpose: without a listener ioredis prints every failed reconnection.
    for (const client of clients) client.on("error", () => undefined);
    await Promise.all(clients.map((client) => client.connect()));
    return clients;
  };
  const readers = await connect();
  return {
    connect,
    values: (key) => Promise.all(readers.map((reader) => reader.get(key))),
    [Symbol.asyncDispose]: async () => {
      for (const client of opened) client.disconnect();
      await stop();
    },
  };
}

/** The item that a test knows to be there. */
export function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`there is no item ${index} among ${list.length}`);
  return item;
}

/** How often the node ran a command since its statistics were reset, in scripts or out of them. */
export async function executions(client: Redis, command: string): Promise<number> {
  const statistics = await client.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(statistics)?.[1] ?? 0);
}

/** What a call gives, or the error it throws, and how long it takes. */
export async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly tookMs: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, tookMs: performance.now() - startedAt };
}
