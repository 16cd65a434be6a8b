import type { EventEmitter } from "node:events";
import { etcd } from "../../src/lock/etcd.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { mysql, mysqlGetLock } from "../../src/lock/mysql.ts";
import { fromRedlock } from "../../src/lock/node-redlock.ts";
import { postgres, postgresAdvisory } from "../../src/lock/postgres.ts";
import { redis } from "../../src/lock/redis.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { zookeeper } from "../../src/lock/zookeeper.ts";

/** A back-end as a user makes it, over clients that nobody calls: what it can do it says when it is made. */
interface Row {
  readonly entry: string;
  readonly call: string;
  readonly client: string;
  readonly make: () => LockBackend;
}

const nobody = (): never => {
  throw new Error("a back-end that is only asked what it can do calls nobody");
};
const redisClient = () => ({ evalsha: nobody, eval: nobody, get: nobody, pttl: nobody, isCluster: false });
const subscriber = () => ({
  subscribe: nobody,
  unsubscribe: nobody,
  on: () => undefined,
  off: () => undefined,
  removeListener: () => undefined,
});
const pool = { connect: nobody };
const zookeeperClient = Object.fromEntries(
  ["getState", "getSessionId", "getSessionTimeout", "getChildren", "getData", "exists", "transaction", "on"].map((name) => [
    name,
    nobody,
  ]),
);
const redlock4 = { servers: [redisClient()], lock: nobody, extend: nobody, unlock: nobody, _random: nobody };

const ROWS: readonly Row[] = [
  { entry: "redlock", call: "redlock([a, b, c])", client: "ioredis", make: () => redlock([redisClient()]) },
  {
    entry: "redlock",
    call: "redlock([a, b, c], { subscribers })",
    client: "ioredis",
    make: () => redlock([redisClient()], { subscribers: [subscriber() as never] }),
  },
  { entry: "node-redlock", call: "fromRedlock(instance)", client: "redlock", make: () => fromRedlock(redlock4) },
  { entry: "redis", call: "redis(client)", client: "ioredis", make: () => redis(redisClient()) },
  {
    entry: "redis",
    call: "redis(client, { subscriber })",
    client: "ioredis",
    make: () => redis(redisClient(), { subscriber: subscriber() as never }),
  },
  { entry: "etcd", call: 'etcd(["http://…:2379"])', client: "none", make: () => etcd("http://127.0.0.1:2379") },
  {
    entry: "zookeeper",
    call: "zookeeper(client)",
    client: "node-zookeeper-client",
    make: () => zookeeper(zookeeperClient as never),
  },
  { entry: "postgres", call: "postgres(pool)", client: "pg", make: () => postgres(pool) },
  {
    entry: "postgres",
    call: "postgres(pool, { listener })",
    client: "pg",
    make: () =>
      postgres(pool, {
        listener: { on: () => undefined, query: nobody, removeListener: () => undefined } as never as EventEmitter as never,
      }),
  },
  { entry: "postgres", call: "postgresAdvisory(pool)", client: "pg", make: () => postgresAdvisory(pool) },
  { entry: "mysql", call: "mysql(pool)", client: "mysql2", make: () => mysql({ getConnection: nobody }) },
  { entry: "mysql", call: "mysqlGetLock(pool)", client: "mysql2", make: () => mysqlGetLock({ getConnection: nobody }) },
  { entry: "memory", call: "memoryLock()", client: "none", make: () => memoryLock() },
];

/** The table of lock back-ends, as the README has it, from what each says of itself. */
export function capabilityTable(): string {
  const heads = ["import", "made by", "client", "lasts for", "steps", "shared", "line", "wake-up"];
  const rows = ROWS.map(({ entry, call, client, make }) => {
    const { expiry, ttlGranularityMs, shared, fifo, push } = make().capabilities;
    const steps = ttlGranularityMs >= 1_000 ? `${ttlGranularityMs / 1_000} s` : `${ttlGranularityMs} ms`;
    return [
      `\`exclaim/lock/${entry}\``,
      `\`${call}\``,
      client,
      expiry === "ttl" ? "ttl" : "session",
      steps,
      mark(shared),
      mark(fifo),
      mark(push),
    ];
  });
  return [heads, heads.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Every product's entry and function that the table has, for who checks that none is missing. */
export function listedBackends(): readonly string[] {
  return ROWS.map(({ entry, call }) => `src/lock/${entry}.ts ${/^\w+/.exec(call)?.[0]}`);
}

function mark(can: boolean): string {
  return can ? "yes" : "";
}
