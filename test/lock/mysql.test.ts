import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import mysqlClient, { type RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type MysqlLockOptions, mysql } from "../../src/lock/mysql.ts";
import type { MysqlPool } from "../../src/lock/mysql-pool.ts";
import { lockConformance } from "../conformance/lock-conformance.ts";
import { type FreshMysqlDatabase, freshMysqlDatabase } from "../support/mariadb.ts";
import { openMysqlClients } from "./mysql-clients.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 10_000 };
const LEASE = { ttlMs: 60_000, owner: "a" };

let database: FreshMysqlDatabase;
let sql: mysqlClient.Pool;
beforeAll(async () => {
  database = await freshMysqlDatabase();
  sql = mysqlClient.createPool({ uri: database.url });
  const { lease } = await mysql(sql, PATIENT).acquire("first", LEASE);
  expect(lease).not.toBeNull();
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});

lockConformance("mysql", async () => {
  const clients = openMysqlClients(database.url);
  return { backend: mysql(clients.pool, PATIENT), isHeld, elapse: async () => {}, close: clients.close };
});

describe("the configuration of mysql", () => {
  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["a connection", { query: async () => [] }],
    ["a pool of callbacks", { getConnection: () => {}, promise: () => {} }],
    ["a cluster of pools", { getConnection: async () => {}, of: () => {} }],
  ])("refuses %s in place of a pool of promises, and says what to pass", (_, pool) => {
    expect(() => mysql(pool as MysqlPool)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(/mysql2\/promise|pass a pool/) }),
    );
  });

  it.each<[string, MysqlLockOptions]>([
    ["callTimeoutMs", { callTimeoutMs: 0 }],
    ["callTimeoutMs", { callTimeoutMs: Number.NaN }],
    ["table", { table: "" }],
    ["table", { table: "a.b.c" }],
    ["table", { table: "a." }],
    ["table", { table: "x".repeat(65) }],
  ])("refuses a bad %s: %o", (name, options) => {
    expect(() => mysql(sql, options)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(name) }),
    );
  });

  it("refuses a ttl that is no time, a shared lock and an owner that does not fit", async () => {
    const lock = mysql(sql, PATIENT);
    const refused = [
      lock.acquire("order:1", { ttlMs: 0, owner: "a" }),
      lock.acquire("order:1", { ...LEASE, mode: "shared" }),
      lock.acquire("order:1", { ttlMs: 60_000, owner: "ä".repeat(128) }),
    ];

    for (const call of refused) await expect(call).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("names the server in errors, and no password", async () => {
    const pool: MysqlPool = {
      getConnection: async () => {
        throw new Error("no login for mysql://me:s3cret@db with s3cret");
      },
      pool: { config: { connectionConfig: { host: "db", port: 3307, password: "s3cret" } } },
    };

    const error = await mysql(pool)
      .acquire("order:1", LEASE)
      .catch((thrown) => thrown);

    expect(error).toMatchObject({ code: "LOCK_UNREACHABLE", details: { backend: "mysql", nodes: [{ node: "db:3307" }] } });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("s3cret");
  });
});

describe("the table of mysql", () => {
  it("is made when it is first missed, by many at once, whatever is asked first", async () => {
    const clients = openMysqlClients(database.url, { connectionLimit: 20 });
    onTestFinished(clients.close);
    const quoted = mysql(clients.pool, { ...PATIENT, table: "order`s locks" });
    const other = mysql(clients.pool, { ...PATIENT, table: "released_first" });

    const attempts = await Promise.all(Array.from({ length: 20 }, (_, index) => quoted.acquire(`order:${index}`, LEASE)));
    const released = await other.release({ ...LEASE, key: "order:1" });

    expect(attempts.filter(({ lease }) => lease !== null)).toHaveLength(20);
    expect(released).toBe(false);
  });

  it("is asked for, with its SQL, when the account may not make it, and used once it is there", async () => {
    const account = await createAccount();
    const lock = mysql(account.pool, { ...PATIENT, table: "asked_for" });

    const refused = await lock.acquire("order:1", LEASE).catch((error) => error);
    const statement = /create table if not exists [\s\S]*/.exec(refused.message)?.[0] ?? "";
    await sql.query(statement);
    const ungranted = await lock.acquire("order:1", LEASE).catch((error) => error);
    await account.grant("asked_for");
    const granted = await lock.acquire("order:1", LEASE);

    expect([refused.code, ungranted.code]).toEqual(["CONFIG_INVALID", "CONFIG_INVALID"]);
    expect(granted.lease).not.toBeNull();
  });

  it("is not one of somebody else's with the same name", async () => {
    await sql.query("create table taken (id int)");

    const refused = mysql(sql, { ...PATIENT, table: "taken" }).acquire("order:1", LEASE);

    await expect(refused).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("create table if not exists `taken`"),
    });
  });

  it("shows people the key, cut, under the SHA-256 of its text", async () => {
    const key = `Auftrag Ä 🔒 \0 ${"k".repeat(10_000)}`;

    await mysql(sql, PATIENT).acquire(key, LEASE);

    const [rows] = await sql.query<RowDataPacket[]>(
      "select key_text, convert(owner using utf8mb4) as owner from exclaim_locks where key_hash = unhex(sha2(?, 256))",
      [key],
    );
    expect(rows).toEqual([{ key_text: key.slice(0, 255), owner: "a" }]);
  });

  it("is swept of what ran out and was never met again, and of nothing else", async () => {
    const lock = mysql(sql, { ...PATIENT, table: "swept" });
    for (let index = 0; index < 20; index += 1) await lock.acquire(`kept ${index}`, LEASE);
    for (let index = 0; index < 150; index += 1) await lock.acquire(`gone ${index}`, { ttlMs: 1, owner: "gone" });
    const count = async (owner: string) =>
      (await sql.query<RowDataPacket[]>("select 1 from swept where owner = ?", [owner]))[0].length;
    const fresh = mysql(sql, { ...PATIENT, table: "swept" });

    // Every 50th win looks at 100 rows.
    for (let wins = 0; wins < 2_000 && (await count("gone")) > 0; wins += 1) {
      await fresh.acquire("fresh", { ttlMs: 60_000, owner: "sweeper" });
    }

    expect([await count("gone"), await count("a")]).toEqual([0, 20]);
  });
});

describe("connections of a pool that others use too", () => {
  // Planted once and seen to fail, each by itself: no commit; no rollback of what somebody left; a second assignment that trusts the
  // first one; the session's own time.
  it.each<[string, string]>([
    ["do not commit by themselves", "set autocommit = 0"],
    ["were given back in the middle of a transaction", "begin"],
    ["were given back with an old snapshot", "start transaction with consistent snapshot"],
    ["read serializable", "set session transaction isolation level serializable"],
    ["read uncommitted", "set session transaction isolation level read uncommitted"],
    ["may not write without a key", "set sql_safe_updates = 1"],
    ["see only old values in an update", "set sql_mode = 'SIMULTANEOUS_ASSIGNMENT'"],
    ["quote by other rules", "set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_ALL_TABLES'"],
    ["are elsewhere on earth", "set time_zone = '-11:00'"],
    ["speak Latin", "set names latin1"],
  ])("L1 L2 L3 may be such that %s", async (_, setting) => {
    const clients = openMysqlClients(database.url, { connectionLimit: 1 });
    onTestFinished(clients.close);
    const lock = mysql(clients.pool, PATIENT);
    const spoil = () => clients.pool.query(setting);
    const key = randomUUID();

    const steps: unknown[] = [];
    await spoil();
    steps.push((await lock.acquire(key, LEASE)).lease?.owner, await isHeld(key), (await others(key)).lease);
    await spoil();
    const lease = { ...LEASE, key };
    steps.push(await lock.extend(lease), await lock.extendMany?.([lease, { ...lease, owner: "b" }]));
    await spoil();
    steps.push((await lock.acquire(key, { ...LEASE, owner: "b" })).lease, await lock.release(lease), await isHeld(key));
    await lock.acquire(key, { ttlMs: 1, owner: "gone" });
    await delay(20);
    await spoil();
    steps.push((await lock.acquire(key, LEASE)).lease?.owner, (await others(key)).lease);

    expect(steps).toEqual(["a", true, null, true, [true, false], null, true, false, "a", null]);
  });

  it("leave alone what somebody has not committed", async () => {
    const clients = openMysqlClients(database.url, { connectionLimit: 1 });
    onTestFinished(clients.close);
    await sql.query("create table unfinished (id int)");
    await clients.pool.query("begin");
    await clients.pool.query("insert into unfinished values (1)");

    await mysql(clients.pool, PATIENT).acquire(randomUUID(), LEASE);

    expect((await sql.query<RowDataPacket[]>("select * from unfinished"))[0]).toEqual([]);
  });

  it.each<[string, mysqlClient.PoolOptions]>([
    ["count changed rows", { flags: ["-FOUND_ROWS"] }],
    ["read rows as arrays", { rowsAsArray: true }],
    ["read numbers as text", { supportBigNumbers: true, bigNumberStrings: true, decimalNumbers: false }],
    ["name their placeholders", { namedPlaceholders: true }],
    ["cast types as they like", { typeCast: () => "cast" }],
  ])("L1 L2 may %s", async (_, options) => {
    const clients = openMysqlClients(database.url, options);
    onTestFinished(clients.close);
    const lock = mysql(clients.pool, PATIENT);
    const key = randomUUID();
    const lease = { ...LEASE, key };

    const won = await lock.acquire(key, LEASE);
    const again = await lock.acquire(key, LEASE);
    const refused = await lock.acquire(key, { ...LEASE, owner: "b" });
    const extended = [await lock.extend(lease), await lock.extend({ ...lease, owner: "b" })];
    const many = await lock.extendMany?.([lease, { ...lease, key: randomUUID() }, lease]);
    const released = [await lock.release({ ...lease, owner: "b" }), await lock.release(lease), await lock.release(lease)];

    expect([won.lease, again.lease]).toEqual([lease, lease]);
    expect(refused.lease === null && refused.retryAfterMs).toBeGreaterThan(50_000);
    expect([extended, many, released]).toEqual([
      [true, false],
      [true, false, true],
      [false, true, false],
    ]);
  });
});

async function isHeld(key: string): Promise<boolean> {
  const [rows] = await sql.query<RowDataPacket[]>(
    "select 1 from exclaim_locks where key_hash = ? and leased_until > utc_timestamp(6)",
    [createHash("sha256").update(key).digest()],
  );
  return rows.length > 0;
}

/** What somebody else's attempt comes to. */
function others(key: string) {
  return mysql(sql, PATIENT).acquire(key, { ...LEASE, owner: "other" });
}

/** An account that may look, and what else it is granted. */
async function createAccount() {
  const name = `exclaim_${process.pid}`;
  const schema = new URL(database.url).pathname.slice(1);
  await sql.query(`create user ${name}@'%' identified by 'pa55word'`);
  await sql.query(`grant select on ${schema}.* to ${name}@'%'`);
  const address = new URL(database.url);
  address.username = name;
  address.password = "pa55word";
  const clients = openMysqlClients(address.href);
  onTestFinished(async () => {
    await clients.close();
    await sql.query(`drop user ${name}@'%'`);
  });
  return {
    pool: clients.pool,
    grant: (table: string) => sql.query(`grant select, insert, update, delete on ${schema}.${table} to ${name}@'%'`),
  };
}
