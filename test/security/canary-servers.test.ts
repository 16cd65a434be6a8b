import { createServer, type Server } from "node:net";
import { Redis } from "ioredis";
import mysqlClient from "mysql2/promise";
import zookeeperClient from "node-zookeeper-client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { isExclaimError } from "../../src/errors.ts";
import { etcd } from "../../src/lock/etcd.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { mysql, mysqlGetLock } from "../../src/lock/mysql.ts";
import { postgres, postgresAdvisory } from "../../src/lock/postgres.ts";
import { redis } from "../../src/lock/redis.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import { runLine } from "../cli/run-line.ts";
import { startRedisNode } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { mariadb } from "../support/services/mariadb.ts";
import { postgres as postgresService } from "../support/services/postgres.ts";
import { sharedUrl } from "../support/shared-urls.ts";
import { CANARY, canariesIn } from "./canary.ts";

const ESCAPED = encodeURIComponent(CANARY);
const PATIENT = { callTimeoutMs: 5_000 };

let guarded: ServerProcess;
/** Takes connections and ends them: what every driver makes an error of its own of. */
let rude: Server;
let rudePort = 0;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  rude = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve));
  rudePort = (rude.address() as { port: number }).port;
  guarded = await startRedisNode();
  const admin = new Redis(guarded.url);
  await admin.config("SET", "requirepass", "another-password");
  admin.disconnect();
});

afterAll(async () => {
  for (const close of closing) await close();
  rude.close();
  await guarded.stop();
});

it("a secret is found wherever it stands in what is thrown", () => {
  const cause = Object.assign(new Error("refused"), { command: { args: [CANARY] } });
  const hidden = Object.defineProperty(new Error("refused"), "url", { value: `redis://:${ESCAPED}@h`, enumerable: false });

  const found = [new Error("failed", { cause }), hidden, { list: [[[[{ CANARY }]]]] }, `a ${CANARY} b`].map(canariesIn);

  expect(found.map((spellings) => spellings.length > 0)).toEqual([true, true, true, true]);
});

describe("the password of a lock server", () => {
  const at = () => `127.0.0.1:${rudePort}`;
  const backends: readonly (readonly [what: string, open: () => LockBackend | Promise<LockBackend>])[] = [
    ["Redis that refuses it", async () => redis(await redisClient(Number(new URL(guarded.url).port)), PATIENT)],
    ["Redis that hangs up", async () => redis(await redisClient(rudePort), PATIENT)],
    ["a Redlock node that refuses it", async () => redlock([await redisClient(Number(new URL(guarded.url).port))])],
    ["PostgreSQL that knows no such role", () => postgres(pgPool(sharedUrl(postgresService)), PATIENT)],
    ["PostgreSQL that hangs up", () => postgres(pgPool(`postgres://${at()}/db`), PATIENT)],
    ["PostgreSQL's advisory locks", () => postgresAdvisory(pgPool(`postgres://${at()}/db`), PATIENT)],
    ["MariaDB that refuses it", () => mysql(mysqlPool(sharedUrl(mariadb)), PATIENT)],
    ["MariaDB that hangs up", () => mysql(mysqlPool(`mysql://${at()}/db`), PATIENT)],
    ["MariaDB's GET_LOCK", () => mysqlGetLock(mysqlPool(sharedUrl(mariadb)), PATIENT)],
    ["etcd that hangs up", () => etcd(`http://${at()}`, { ...PATIENT, username: "locks", password: CANARY })],
    ["ZooKeeper that hangs up", () => zookeeper(zookeeperOf(at()), { callTimeoutMs: 500 })],
  ];

  it.each(backends)("is in nothing that is told of %s", async (_what, open) => {
    const lock = await open();
    const lease = { key: "a", owner: "a", ttlMs: 60_000 };

    const told = await Promise.all(
      [
        lock.acquire("a", { ttlMs: 60_000, owner: "a" }),
        lock.extend(lease),
        lock.release(lease),
        lock.extendMany?.([lease]),
      ].map((call) => Promise.resolve(call).catch((error: unknown) => error)),
    );
    const events: unknown[] = [];
    const exclaim = createExclaim({ lock });
    for (const event of ["background:failed", "lock:lost", "lock:releaseFailed"] as const)
      exclaim.on(event, (e) => events.push(e));
    told.push(await exclaim.lock.acquire("a").catch((error: unknown) => error));
    await exclaim.close();

    expect(told.filter((error) => isExclaimError(error, "LOCK_UNREACHABLE")).length).toBeGreaterThan(0);
    expect(canariesIn([told, events])).toEqual([]);
    expect(told.flatMap(canariesIn)).toEqual([]);
  });

  it("is in no error of an option that is wrong", () => {
    const attempts = [
      () => etcd(`http://locks:${ESCAPED}@127.0.0.1:2379`),
      () => etcd(`redis://:${ESCAPED}@127.0.0.1`),
      () => etcd("http://127.0.0.1:2379", { password: CANARY }),
      () => redis(`redis://:${ESCAPED}@h` as never),
      () => redlock([`redis://:${ESCAPED}@h` as never]),
      () => postgres(`postgres://me:${ESCAPED}@h/db` as never),
      () => mysql(`mysql://me:${ESCAPED}@h/db` as never),
      () => zookeeper(`digest:me:${CANARY}` as never),
      () => createExclaim({ database: `postgres://me:${ESCAPED}@h/db` as never }),
      () => createExclaim({ lock: `redis://:${ESCAPED}@h` as never }),
    ];

    const thrown = attempts.map((attempt) => {
      try {
        return attempt();
      } catch (error) {
        return error;
      }
    });

    expect(thrown.filter((error) => !isExclaimError(error, "CONFIG_INVALID"))).toEqual([]);
    expect(thrown.flatMap(canariesIn)).toEqual([]);
  });
});

describe("the password of the database", () => {
  it.each([
    ["hangs up", () => `postgres://127.0.0.1:${rudePort}/db`],
    ["knows no such role", () => sharedUrl(postgresService)],
  ])("is in no outcome, error or event where it %s", async (_how, url) => {
    const exclaim = createExclaim({ database: pgPool(url()), ttlMs: 300 });
    const told: unknown[] = [];
    for (const event of ["background:failed", "claim:ended", "claim:lost"] as const) exclaim.on(event, (e) => told.push(e));

    told.push(
      await exclaim.migrate().catch((error: unknown) => error),
      await exclaim.pool({ table: "t", ownerColumn: "o" }).claim({ claimant: "7" }, async () => "ran"),
      await exclaim.resource("order").claim({ key: "1" }, async () => "ran"),
      await exclaim.imports.list().catch((error: unknown) => error),
    );
    await exclaim.close();

    expect(JSON.stringify(told.slice(0, 4), codes)).toContain("DATABASE_UNREACHABLE");
    expect(told.flatMap(canariesIn)).toEqual([]);
  });
});

describe("the passwords of a command line", () => {
  const databaseUrl = () => `postgres://me:${ESCAPED}@127.0.0.1:${rudePort}/db`;
  const redisUrl = () => `redis://:${ESCAPED}@127.0.0.1:${rudePort}`;
  const amqpUrl = () => `amqp://me:${ESCAPED}@127.0.0.1:${rudePort}`;
  it.each([
    ["claims show", () => ["claims", "show", "t", "7", "--database-url", databaseUrl(), "--verbose"]],
    ["claims release", () => ["claims", "release", "t", "7", "--yes", "--database-url", databaseUrl(), "--verbose"]],
    ["outbox status", () => ["outbox", "status", "--database-url", databaseUrl(), "--verbose"]],
    ["outbox retry", () => ["outbox", "retry", "--database-url", databaseUrl(), "--verbose"]],
    ["outbox dispatch to Redis", () => ["outbox", "dispatch", "--database-url", databaseUrl(), "--redis-url", redisUrl()]],
    ["outbox dispatch to RabbitMQ", () => ["outbox", "dispatch", "--database-url", databaseUrl(), "--amqp-url", amqpUrl()]],
    ["import status", () => ["import", "status", "x", "--database-url", databaseUrl(), "--verbose"]],
    ["import report", () => ["import", "report", "x", "--database-url", databaseUrl(), "--verbose"]],
    ["import cancel", () => ["import", "cancel", "x", "--database-url", databaseUrl(), "--verbose"]],
    ["import resume", () => ["import", "resume", "x", "--database-url", databaseUrl(), "--redis-url", redisUrl()]],
    ["no command at all", () => [databaseUrl()]],
    ["an unknown option", () => ["claims", "list", `--password=${CANARY}`]],
  ])("are printed by %s nowhere", async (_command, args) => {
    const { stdout, stderr, code } = await runLine(args(), { env: { DATABASE_PASSWORD: CANARY } });

    expect(code).toBeGreaterThan(0);
    expect(canariesIn(stdout + stderr)).toEqual([]);
  });
});

function codes(_key: string, value: unknown): unknown {
  return isExclaimError(value) ? value.code : value;
}

async function redisClient(port: number): Promise<Redis> {
  const client = new Redis({
    host: "127.0.0.1",
    port,
    password: CANARY,
    lazyConnect: true,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    retryStrategy: () => 50,
  });
  client.on("error", () => {});
  closing.push(() => client.disconnect());
  await client.connect().catch(() => {});
  return client;
}

function pgPool(url: string): pg.Pool {
  const address = new URL(url);
  address.username = "nobody_of_that_name";
  address.password = CANARY;
  const pool = new pg.Pool({ connectionString: address.href, connectionTimeoutMillis: 3_000 });
  pool.on("error", () => {});
  closing.push(() => pool.end());
  return pool;
}

function mysqlPool(url: string): mysqlClient.Pool {
  const address = new URL(url);
  const pool = mysqlClient.createPool({
    host: address.hostname,
    port: Number(address.port),
    user: "nobody",
    password: CANARY,
    database: "db",
  });
  closing.push(() => pool.end());
  return pool;
}

function zookeeperOf(address: string) {
  const client = zookeeperClient.createClient(address, { sessionTimeout: 60_000, spinDelay: 100 });
  client.addAuthInfo("digest", Buffer.from(`me:${CANARY}`));
  client.connect();
  closing.push(() => client.close());
  return client;
}
