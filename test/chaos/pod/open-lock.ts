import { createRequire } from "node:module";
import { Redis } from "ioredis";
import mysqlClient from "mysql2/promise";
import zookeeperClient, { type Client } from "node-zookeeper-client";
import pg from "pg";
import { etcd } from "../../../src/lock/etcd.ts";
import type { LockBackend } from "../../../src/lock/lock.ts";
import { mysql } from "../../../src/lock/mysql.ts";
import { fromRedlock } from "../../../src/lock/node-redlock.ts";
import type { Redlock5 } from "../../../src/lock/node-redlock-instance.ts";
import { postgres } from "../../../src/lock/postgres.ts";
import { redis } from "../../../src/lock/redis.ts";
import { redlock } from "../../../src/lock/redlock.ts";
import { zookeeper } from "../../../src/lock/zookeeper.ts";
import type { LockName } from "../failpoint.ts";
import type { Assignment } from "../pod-messages.ts";
import { allOf, type Droppable, Relay } from "./relay.ts";

/** So that a busy machine is not taken for a server that does not answer. */
const CALL_TIMEOUT_MS = 500;

/** The published package, which brings no types that our compiler finds. */
const PublishedRedlock: new (clients: readonly Redis[]) => Redlock5 = createRequire(import.meta.url)("redlock-5").default;

/** A lock back-end over connections of its own, which can be cut. */
export interface OpenLock {
  /** Undefined: the pod works without an outer lock. */
  readonly backend: LockBackend | undefined;
  readonly connections: Droppable;
  close(): Promise<void>;
}

interface Opened {
  readonly backend: LockBackend;
  close(): Promise<unknown> | undefined;
}

interface Given {
  readonly urls: readonly string[];
  readonly prefix: string;
  readonly ttlMs: number;
}

/** Every server is reached through a relay, so that its connections can be cut whatever driver made them. */
export async function openLock({ lock, lockUrls, lockPrefix, ttlMs }: Assignment): Promise<OpenLock> {
  if (lock === "none") return { backend: undefined, connections: allOf([]), close: async () => {} };
  const relayed = await Promise.all(lockUrls.map((url) => Relay.open(url)));
  const relays = relayed.map(({ relay }) => relay);
  const opened = await OPEN[lock]({ urls: relayed.map(({ url }) => url), prefix: lockPrefix, ttlMs });
  return {
    backend: opened.backend,
    connections: allOf(relays),
    async close() {
      await opened.close();
      for (const relay of relays) relay.close();
    },
  };
}

const OPEN: Readonly<Record<Exclude<LockName, "none">, (given: Given) => Opened | Promise<Opened>>> = {
  redlock: ({ urls, prefix }) => overRedis(urls, (clients) => redlock(clients, { prefix, nodeTimeoutMs: CALL_TIMEOUT_MS })),
  redis: ({ urls, prefix }) =>
    overRedis(urls, ([client]) => redis(client ?? missing(), { prefix, callTimeoutMs: CALL_TIMEOUT_MS })),
  "node-redlock": ({ urls, prefix }) =>
    overRedis(urls, (clients) => fromRedlock(new PublishedRedlock(clients), { prefix, callTimeoutMs: CALL_TIMEOUT_MS })),
  etcd: ({ urls, prefix }) => ({ backend: etcd(urls, { prefix, callTimeoutMs: CALL_TIMEOUT_MS }), close: () => undefined }),
  zookeeper: overZookeeper,
  postgres({ urls: [url] }) {
    const pool = new pg.Pool({ connectionString: url, max: 4 });
    pool.on("error", () => {});
    return { backend: postgres(pool, { callTimeoutMs: CALL_TIMEOUT_MS }), close: () => pool.end() };
  },
  mysql({ urls: [url = ""], prefix }) {
    const pool = mysqlClient.createPool({ uri: url, connectionLimit: 4 });
    return {
      backend: mysql(pool, { table: `locks_${prefix.replaceAll(/\W/g, "_")}`, callTimeoutMs: CALL_TIMEOUT_MS }),
      close: () => pool.end(),
    };
  },
};

function overRedis(urls: readonly string[], create: (clients: Redis[]) => LockBackend): Opened {
  const clients = urls.map((url) => new Redis(url, { maxRetriesPerRequest: 1, retryStrategy: () => 50 }));
  for (const client of clients) client.on("error", () => {});
  return {
    backend: create(clients),
    close() {
      for (const client of clients) client.disconnect();
      return undefined;
    },
  };
}

/** Replaces the client when its session has expired, as a program must. */
function overZookeeper({ urls, prefix, ttlMs }: Given): Opened {
  const hosts = urls.map((url) => new URL(url).host).join(",");
  let isClosed = false;
  const connect = (): Client => {
    const made = zookeeperClient.createClient(hosts, { sessionTimeout: ttlMs + 4_000, spinDelay: 50 });
    made.once("expired", () => {
      if (!isClosed) client = connect();
    });
    made.connect();
    return made;
  };
  let client = connect();
  return {
    backend: zookeeper(() => client, {
      root: `/exclaim-chaos-${prefix.replaceAll(/\W/g, "-")}`,
      callTimeoutMs: CALL_TIMEOUT_MS,
    }),
    close() {
      isClosed = true;
      client.close();
      return undefined;
    },
  };
}

function missing(): never {
  throw new Error("the lock back-end needs a server");
}
