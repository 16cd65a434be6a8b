import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { LockLease } from "../../src/lock/lock.ts";
import { postgresAdvisory } from "../../src/lock/postgres.ts";
import type { PostgresConnection, PostgresPool } from "../../src/lock/postgres-pool.ts";
import { lockConformance } from "../conformance/lock-conformance.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { openPostgresClients } from "./postgres-clients.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 10_000 };
const TTL_MS = 60_000;

const HELD = `
  select count(*)::int as sessions from pg_locks
  where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

lockConformance("postgresAdvisory", async () => {
  const clients = openPostgresClients(database.url);
  const held = `${HELD} and ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)`;
  return {
    backend: postgresAdvisory(clients.pool, PATIENT),
    isHeld: async (key) => (await database.pool.query(held, [key])).rows[0].sessions > 0,
    elapse: async () => {},
    close: clients.close,
  };
});

describe("the connection of postgresAdvisory", () => {
  // Planted once and seen to fail: a connection kept after the last release.
  it("is one, for as long as anything is held or asked for, and goes back as it came", async () => {
    const { pool, lock } = open({ max: 3 });
    const [plain] = await openConnections(pool);
    const idle = () => [pool.totalCount, pool.idleCount];

    const leases = await win(lock, 50);
    const whileHeld = idle();
    await Promise.all(leases.slice(1).map((lease) => lock.release(lease)));
    const whileOneIsHeld = idle();
    await Promise.all(leases.slice(0, 1).map((lease) => lock.release(lease)));

    expect([whileHeld, whileOneIsHeld, idle()]).toEqual([
      [3, 2],
      [3, 2],
      [3, 3],
    ]);
    expect(await sessionsHeld()).toBe(0);
    expect(await openConnections(pool)).toEqual([plain, plain, plain]);
  });

  it("goes back after an attempt that did not win", async () => {
    const { pool, lock } = open({ max: 1 });
    const [lease] = await win(open().lock, 1);

    const refused = await lock.acquire(lease?.key ?? "", { ttlMs: TTL_MS, owner: "b" });

    expect(refused).toEqual({ lease: null, retryAfterMs: 0 });
    await eventually(() => pool.idleCount === 1, { what: "the return of the connection" });
    expect(await openConnections(pool)).toEqual([{ idle_session_timeout: "0" }]);
  });

  it("is used again for lock after lock, and not opened anew", async () => {
    const { pool, lock } = open();
    const pids = async () => (await pool.query("select pg_backend_pid() as pid")).rows;
    const before = await pids();

    for (let round = 0; round < 20; round += 1) {
      const [lease] = await win(lock, 1);
      await lock.release(lease as LockLease);
    }

    expect([pool.totalCount, await pids()]).toEqual([1, before]);
  });

  it("is not one that somebody gave back in the middle of a transaction", async () => {
    const { pool, lock } = open({ max: 1 });
    const careless = await pool.connect();
    await careless.query("begin");
    careless.release();

    const [lease] = await win(lock, 1);

    expect(await lock.extend(lease as LockLease)).toBe(true);
    expect(await lock.release(lease as LockLease)).toBe(true);
  });

  it("outlives an idle_session_timeout of the server's own while it is extended, and has it back afterwards", async () => {
    const { pool, lock } = open({ max: 1, options: "-c idle_session_timeout=500" });
    const [lease] = await win(lock, 1);

    await delay(1_200);
    const extended = await lock.extend(lease as LockLease);
    await lock.release(lease as LockLease);

    expect(extended).toBe(true);
    expect(await openConnections(pool)).toEqual([{ idle_session_timeout: "500ms" }]);
  });

  // Planted once and seen to fail: no idle_session_timeout of our own.
  it("is ended by the server when nobody extends anything on it for three ttls, as after a power cut", async () => {
    const { lock } = open({ max: 1 });
    const { lease } = await lock.acquire(randomUUID(), { ttlMs: 1_000, owner: "a" });
    const before = await sessionsHeld();

    await eventually(async () => (await sessionsHeld()) === 0, { what: "the end of the connection" });

    expect(before).toBe(1);
    expect(await lock.extend(lease as LockLease)).toBe(false);
  });
});

describe("two callers of one process", () => {
  // Planted once and seen to fail: no table of owners in front of the server, which lets a session take a lock that it has.
  it("L1 never both win an exclusive lock, one after another or at once", async () => {
    const { lock } = open();
    const key = randomUUID();

    const atOnce = await Promise.all(["a", "b", "c"].map((owner) => lock.acquire(key, { ttlMs: TTL_MS, owner })));
    const later = await lock.acquire(key, { ttlMs: TTL_MS, owner: "d" });
    const shared = await lock.acquire(key, { ttlMs: TTL_MS, owner: "e", mode: "shared" });

    expect(atOnce.map(({ lease }) => lease?.owner)).toEqual(["a", undefined, undefined]);
    expect([later.lease, shared.lease]).toEqual([null, null]);
  });

  it("L7 are one when they have one owner, and one release ends it", async () => {
    const { lock } = open();
    const key = randomUUID();

    const attempts = await Promise.all([1, 2, 3].map(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "a" })));
    const released = await lock.release({ key, owner: "a", ttlMs: TTL_MS });

    expect(attempts.map(({ lease }) => lease?.owner)).toEqual(["a", "a", "a"]);
    expect(released).toBe(true);
    expect(await sessionsHeld()).toBe(0);
  });

  it("L7 L8 with one owner that asks for the other mode have the lock in that mode alone", async () => {
    const { lock } = open();
    const other = open().lock;
    const key = randomUUID();
    const reads = () => other.acquire(key, { ttlMs: TTL_MS, owner: "reader", mode: "shared" });

    const writing = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    const whileWriting = await reads();
    const reading = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a", mode: "shared" });
    const whileReading = await reads();

    expect([writing.lease, reading.lease]).toEqual([
      { key, owner: "a", ttlMs: TTL_MS },
      { key, owner: "a", ttlMs: TTL_MS, mode: "shared" },
    ]);
    expect([whileWriting.lease, whileReading.lease?.owner]).toEqual([null, "reader"]);
  });

  it("L8 that release shared locks of one key leave those of the others held", async () => {
    const { lock } = open();
    const key = randomUUID();
    const lease = (owner: string): LockLease => ({ key, owner, ttlMs: TTL_MS, mode: "shared" });
    await Promise.all(["a", "b", "c"].map((owner) => lock.acquire(key, { ttlMs: TTL_MS, owner, mode: "shared" })));

    const released = [await lock.release(lease("a")), await lock.release(lease("a")), await lock.release(lease("b"))];
    const writer = await open().lock.acquire(key, { ttlMs: TTL_MS, owner: "writer" });

    expect(released).toEqual([true, false, true]);
    expect(writer.lease).toBeNull();
    expect(await lock.extend(lease("c"))).toBe(true);
  });
});

describe("the configuration of postgresAdvisory", () => {
  it.each([undefined, {}, new pg.Client()])("refuses %s in place of a pool", (pool) => {
    expect(() => postgresAdvisory(pool as unknown as PostgresPool)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("pg.Pool") }),
    );
  });

  it.each([0, -1, Number.NaN])("refuses %s ms as a time limit and as a ttl", async (ms) => {
    expect(() => postgresAdvisory(database.pool, { callTimeoutMs: ms })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
    await expect(postgresAdvisory(database.pool).acquire("a", { ttlMs: ms, owner: "a" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  // A driver that does not tell the server's number of a connection. Planted once and seen to fail, each by itself: the numbers not
  // compared when the connection is opened, and not with each statement.
  it.each([1, 2])("refuses a connection that is led to another server process after %i statements", async (count) => {
    const clients = openPostgresClients(database.url);
    onTestFinished(() => clients.close());
    const [first, other] = [await clients.connect(), await clients.connect()];
    let asked = 0;
    const shared: PostgresConnection = {
      query: (query) => {
        asked += 1;
        return (asked <= count ? first : other).query(query);
      },
      release: () => {},
      on: () => {},
      removeListener: () => {},
    };

    const refused = postgresAdvisory({ connect: (checkedOut) => checkedOut(undefined, shared) }, PATIENT).acquire("order:1", {
      ttlMs: TTL_MS,
      owner: "a",
    });

    await expect(refused).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("pooler") });
  });

  it("locks what other programs lock by hashtextextended(key, 0)", async () => {
    const { lock, connect } = open();
    const other = await connect();
    const { rows } = await other.query("select pg_try_advisory_lock(hashtextextended('shared with SQL', 0)) as won");

    const refused = await lock.acquire("shared with SQL", { ttlMs: TTL_MS, owner: "a" });

    expect([rows, refused.lease]).toEqual([[{ won: true }], null]);
  });
});

function open(config: pg.PoolConfig = {}) {
  const clients = openPostgresClients(database.url, config);
  onTestFinished(() => clients.close());
  return { ...clients, lock: postgresAdvisory(clients.pool, PATIENT) };
}

async function win(lock: ReturnType<typeof postgresAdvisory>, count: number): Promise<LockLease[]> {
  const attempts = await Promise.all(
    Array.from({ length: count }, () => lock.acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" })),
  );
  return attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
}

/** Opens as many as the pool may have, and returns the setting that the lock changes on each. */
async function openConnections(pool: pg.Pool): Promise<unknown[]> {
  const clients = await Promise.all(Array.from({ length: pool.options.max ?? 1 }, () => pool.connect()));
  const settings = await Promise.all(clients.map(async (client) => (await client.query("show idle_session_timeout")).rows[0]));
  for (const client of clients) client.release();
  return settings;
}

async function sessionsHeld(): Promise<number> {
  return (await database.pool.query(HELD)).rows[0].sessions;
}
