import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import mysqlClient, { type RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { LockBackend, LockLease } from "../../src/lock/lock.ts";
import { mysqlGetLock } from "../../src/lock/mysql.ts";
import type { MysqlConnection, MysqlPool } from "../../src/lock/mysql-pool.ts";
import { lockConformance } from "../conformance/lock-conformance.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshMysqlDatabase, freshMysqlDatabase } from "../support/mariadb.ts";
import { openMysqlClients } from "./mysql-clients.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 10_000 };
const TTL_MS = 60_000;

let database: FreshMysqlDatabase;
let sql: mysqlClient.Pool;
beforeAll(async () => {
  database = await freshMysqlDatabase();
  sql = mysqlClient.createPool({ uri: database.url, connectionLimit: 2 });
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});

lockConformance("mysqlGetLock", async () => {
  const clients = openMysqlClients(database.url);
  return {
    backend: mysqlGetLock(clients.pool, PATIENT),
    isHeld: async (key) => (await holder(key)) !== null,
    elapse: async () => {},
    close: clients.close,
  };
});

describe("the connection of mysqlGetLock", () => {
  // Planted once and seen to fail: a connection kept after the last release; a wait_timeout that is not set back.
  it("is one, for as long as anything is held or asked for, and goes back as it came", async () => {
    const { pool, lock, connections } = open({ connectionLimit: 1 });
    const before = await timeoutOf(pool);

    const leases = await win(lock, 50);
    const whileHeld = connections();
    await Promise.all(leases.slice(1).map((lease) => lock.release(lease)));
    const whileOneIsHeld = connections();
    await Promise.all(leases.slice(0, 1).map((lease) => lock.release(lease)));

    await eventually(() => connections().inUse === 0, { what: "the return of the connection" });
    expect([whileHeld, whileOneIsHeld]).toEqual([
      { open: 1, inUse: 1 },
      { open: 1, inUse: 1 },
    ]);
    expect(await timeoutOf(pool)).toEqual(before);
    expect(await Promise.all(leases.map(({ key }) => holder(key)))).toEqual(leases.map(() => null));
  });

  it("goes back after an attempt that did not win", async () => {
    const { lock, connections } = open();
    const [lease] = await win(open().lock, 1);

    const refused = await lock.acquire(lease?.key ?? "", { ttlMs: TTL_MS, owner: "b" });

    expect(refused).toEqual({ lease: null, retryAfterMs: 0 });
    await eventually(() => connections().inUse === 0, { what: "the return of the connection" });
  });

  it("outlives a wait_timeout of its own while it is extended", async () => {
    const { pool, lock } = open({ connectionLimit: 1 });
    await pool.query("set session wait_timeout = 1");
    const [lease] = await win(lock, 1);

    await delay(2_100);

    expect(await lock.extend(lease as LockLease)).toBe(true);
  });

  // Planted once and seen to fail: no wait_timeout of our own.
  it("is ended by the server when nobody extends anything on it for three ttls, as after a power cut", async () => {
    const { lock } = open();
    const { lease } = await lock.acquire(randomUUID(), { ttlMs: 1_000, owner: "a" });
    const before = await holder(lease?.key ?? "");

    await eventually(async () => (await holder(lease?.key ?? "")) === null, { what: "the end of the connection" });

    expect(before).not.toBeNull();
    expect(await lock.extend(lease as LockLease)).toBe(false);
  });

  it("L2 that is killed takes all its locks with it, and the next lock is on a new one", async () => {
    const { lock, connections } = open();
    const leases = await win(lock, 3);

    await sql.query(`kill ${await holder(leases[0]?.key ?? "")}`);
    await eventually(async () => (await lock.extend(leases[0] as LockLease)) === false, { what: "the loss" });

    expect(await lock.extendMany?.(leases)).toEqual([false, false, false]);
    const again = await lock.acquire(leases[0]?.key ?? "", { ttlMs: TTL_MS, owner: "b" });
    expect(await lock.extendMany?.([...leases, again.lease as LockLease])).toEqual([false, false, false, true]);
    expect(await Promise.all(leases.map((lease) => lock.release(lease)))).toEqual([false, false, false]);
    expect(connections().open).toBe(1);
  });

  // Planted once and seen to fail: a beat that does not ask for the lock.
  it("L2 that lives but has lost one of its locks says so of that one", async () => {
    const meddling = meddle(open().pool);
    const lock = mysqlGetLock(meddling.pool, PATIENT);
    const [lost, kept] = await win(lock, 2);

    await meddling.release(lost?.key ?? "");

    expect(await lock.extendMany?.([lost, kept] as LockLease[])).toEqual([false, true]);
    expect(await lock.extend(lost as LockLease)).toBe(false);
    expect(await lock.release(lost as LockLease)).toBe(false);
  });
});

describe("two callers of one process", () => {
  // Planted once and seen to fail: no table of owners in front of the server, which lets a session take a lock that it has.
  it("L1 never both win a lock, one after another or at once", async () => {
    const { lock } = open();
    const key = randomUUID();

    const atOnce = await Promise.all(["a", "b", "c"].map((owner) => lock.acquire(key, { ttlMs: TTL_MS, owner })));
    const later = await lock.acquire(key, { ttlMs: TTL_MS, owner: "d" });

    expect(atOnce.map(({ lease }) => lease?.owner)).toEqual(["a", undefined, undefined]);
    expect(later.lease).toBeNull();
  });

  it("L7 are one when they have one owner, and one release ends it", async () => {
    const { lock } = open();
    const key = randomUUID();

    const attempts = await Promise.all([1, 2, 3].map(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "a" })));
    const later = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    const released = await lock.release({ key, owner: "a", ttlMs: TTL_MS });

    expect([...attempts, later].map(({ lease }) => lease?.owner)).toEqual(["a", "a", "a", "a"]);
    expect([released, await holder(key)]).toEqual([true, null]);
  });
});

describe("the configuration of mysqlGetLock", () => {
  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["a pool of callbacks", { getConnection: () => {}, promise: () => {} }],
  ])("refuses %s in place of a pool of promises", (_, pool) => {
    expect(() => mysqlGetLock(pool as MysqlPool)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it.each(["x".repeat(25), "it's", "a b", "ä"])("refuses the prefix %s", (prefix) => {
    expect(() => mysqlGetLock(sql, { prefix })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("prefix") }),
    );
  });

  it("refuses a ttl that is no time, and a shared lock", async () => {
    const lock = mysqlGetLock(sql, PATIENT);

    await expect(lock.acquire("a", { ttlMs: 0, owner: "a" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(lock.acquire("a", { ttlMs: 1, owner: "a", mode: "shared" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  // Planted once and seen to fail, each by itself: the numbers not compared when the connection is opened, and not with each statement.
  it.each<[string, number, number | undefined]>([
    ["that makes up its number", 0, 4_294_967],
    ["that has none and leads to another server connection after 1 statement", 1, undefined],
    ["that has none and leads to another server connection after 3 statements", 3, undefined],
  ])("refuses a connection %s", async (_, count, threadId) => {
    const { pool } = open();
    const [first, other] = [await pool.getConnection(), await pool.getConnection()];
    let asked = 0;
    const shared: MysqlConnection = {
      query: (query) => {
        asked += 1;
        return (asked <= count ? first : other).query(query);
      },
      ...(threadId === undefined ? {} : { threadId }),
      release: () => {},
      destroy: () => {},
      on: () => {},
      removeListener: () => {},
    };

    const refused = mysqlGetLock({ getConnection: async () => shared }, PATIENT).acquire("order:1", {
      ttlMs: TTL_MS,
      owner: "a",
    });

    await expect(refused).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("use mysql()") });
    for (const connection of [first, other]) connection.destroy();
  });

  it.each(["5.6.51-log", "5.7.4", "5.5.5-MySQL", "10.0.1-MariaDB", "5.5.68-MariaDB-1"])(
    "refuses the server version %s, which lets a session have one lock only",
    async (version) => {
      await expect(acquireFrom(version)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining(`version ${version}`),
      });
    },
  );

  it.each(["5.7.5", "5.7.44-log", "8.0.36", "9.1.0", "10.0.2-MariaDB", "11.4.2-MariaDB-ubu2404"])(
    "takes the server version %s",
    async (version) => {
      expect((await acquireFrom(version)).lease).not.toBeNull();
    },
  );
});

function open(options: mysqlClient.PoolOptions = {}) {
  const clients = openMysqlClients(database.url, options);
  onTestFinished(clients.close);
  return { ...clients, lock: mysqlGetLock(clients.pool, PATIENT) };
}

async function win(lock: LockBackend, count: number): Promise<LockLease[]> {
  const attempts = await Promise.all(
    Array.from({ length: count }, () => lock.acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" })),
  );
  return attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
}

function nameOf(key: string): string {
  return `exclaim:${createHash("sha1").update(key).digest("hex")}`;
}

/** The server's number of the connection that has the lock. */
async function holder(key: string): Promise<number | null> {
  return (await sql.query<RowDataPacket[]>("select is_used_lock(?) as id", [nameOf(key)]))[0][0]?.id;
}

async function timeoutOf(pool: mysqlClient.Pool): Promise<unknown> {
  return (await pool.query<RowDataPacket[]>("select @@session.wait_timeout as seconds"))[0];
}

/** The pool, and a way to free a lock on the connection that was checked out last. */
function meddle(pool: mysqlClient.Pool) {
  let last: mysqlClient.PoolConnection | undefined;
  const getConnection = async () => {
    last = await pool.getConnection();
    return last;
  };
  return {
    pool: { getConnection },
    release: async (key: string) => {
      await last?.query("do release_lock(?)", [nameOf(key)]);
    },
  };
}

/** An attempt at a server that says it is of that version, and grants everything. */
function acquireFrom(version: string) {
  const connection: MysqlConnection = {
    query: async ({ sql: text }) => [[text.includes("version()") ? [7, 28_800, version] : [7, 1]], undefined],
    threadId: 7,
    release: () => {},
    destroy: () => {},
    on: () => {},
    removeListener: () => {},
  };
  return mysqlGetLock({ getConnection: async () => connection }).acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
}
