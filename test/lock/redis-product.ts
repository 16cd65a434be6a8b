import { Redis } from "ioredis";
import type { LockBackend } from "../../src/lock/lock.ts";
import type { LockInspector, LockProduct } from "../conformance/lock/lock-product.ts";
import { startPrivateServer } from "../support/ladder.ts";
import { redis, redisQuorum } from "../support/services/redis.ts";

/** So that a machine busy with other tests is not taken for nodes that do not answer. */
export const PATIENT_MS = 2_000;

/** What the documentation of the products recommends. */
const CLIENT_OPTIONS = { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: 5_000, lazyConnect: true };

/** The connections a back-end is made of: one a node, and one more each to listen. */
export interface RedisConnections {
  readonly clients: readonly Redis[];
  subscribers(): Promise<readonly Redis[]>;
}

/** What products on Redis differ in. */
interface RedisProduct extends Pick<LockProduct, "title"> {
  readonly count: number;
  readonly can: { readonly shared: boolean; readonly push: boolean };
  create(connections: RedisConnections): LockBackend | Promise<LockBackend>;
}

/** A product over that many Redis, none of which writes anything to a disk. */
export function redisProduct({ title, count, can, create }: RedisProduct): LockProduct {
  return {
    title,
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, ...can, fifo: false },
    tellsHolderTime: true,
    shared: { service: count === 1 ? redis : redisQuorum, count },
    nodes: { count, kind: count === 1 ? "single" : "independent" },
    startServers: () => Promise.all(Array.from({ length: count }, () => startPrivateServer(redis))),
    survivesRestart: false,
    open: async (urls) => {
      const opened: Redis[] = [];
      const open = async () => {
        const clients = await connect(urls);
        opened.push(...clients);
        return clients;
      };
      const backend = await create({ clients: await open(), subscribers: open });
      return { backend, close: async () => disconnect(opened) };
    },
    inspect: async (urls) => inspectRedis(await connect(urls)),
  };
}

/** Nodes that are down are connected to once they are up. */
async function connect(urls: readonly string[]): Promise<readonly Redis[]> {
  const clients = urls.map((url) => new Redis(url, CLIENT_OPTIONS));
  for (const client of clients) client.on("error", () => {});
  await Promise.allSettled(clients.map((client) => client.connect()));
  return clients;
}

function disconnect(clients: readonly Redis[]): void {
  for (const client of clients) client.disconnect();
}

function inspectRedis(clients: readonly Redis[]): LockInspector {
  return {
    holders: async (key) => {
      const owners = (await Promise.all(clients.map((client) => ownersOn(client, key).catch(() => [])))).flat();
      return new Set(owners.filter((owner) => owners.filter((other) => other === owner).length > clients.length / 2)).size;
    },
    remove: async (key) => {
      await Promise.all(clients.map((client) => client.del(key)));
    },
    close: async () => disconnect(clients),
  };
}

/** The one who holds the key, or those who share it. */
async function ownersOn(client: Redis, key: string): Promise<readonly string[]> {
  if ((await client.type(key)) === "zset") {
    const [seconds = 0, microseconds = 0] = await client.time();
    return client.zrangebyscore(key, `(${seconds * 1_000 + microseconds / 1_000}`, "+inf");
  }
  const owner = await client.get(key);
  return owner === null ? [] : [owner];
}
