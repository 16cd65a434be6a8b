import { randomUUID } from "node:crypto";
import mysqlClient, { type RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { resourceKey, rowKey, slotKey } from "../../src/claim/lock-key.ts";
import { isExclaimError } from "../../src/errors.ts";
import type { LockBackend, LockLease } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { mysql } from "../../src/lock/mysql.ts";
import { postgres } from "../../src/lock/postgres.ts";
import type { LockInspector, OpenLock } from "../conformance/lock/lock-product.ts";
import { lockProducts, productBed } from "../conformance/lock/lock-products.ts";
import { type FreshMysqlDatabase, freshMysqlDatabase } from "../support/mariadb.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { databaseFingerprint } from "./database-fingerprint.ts";
import { hostileTexts } from "./hostile-texts.ts";

const TTL_MS = 60_000;
/** What a glob, a hash tag, a path or an escape in a hostile key could reach. */
const CANARIES = ["canary", "*", "a", "{a}", "a/b", "a%2Fb", "a:b", ""];

const shared = (await lockProducts()).filter((product) => product.shared !== undefined);

describe.each(shared.map((product, turn) => [product.title, productBed(product), turn] as const))("%s", (_title, bed, turn) => {
  let lock: OpenLock;
  let inspector: LockInspector;
  const prefix = `hostile-${randomUUID()}:`;
  beforeAll(async () => {
    [lock, inspector] = [await bed.open(), await bed.inspector()];
  });
  afterAll(() => lock?.close());

  it("takes hostile keys for keys, each of its own, and touches no other", async () => {
    const canaries = await Promise.all(CANARIES.map((key) => taken(lock.backend, prefix + key, "keeper")));
    const taboo = new Set(CANARIES);
    // A third of them each: products of one kind share how they make a key theirs.
    const given = hostileTexts(10).filter((text, index) => index % 3 === turn % 3 && text.isWellFormed() && !taboo.has(text));

    const leases = await inBatches(given, (text) => taken(lock.backend, prefix + text, "owner"));
    // The inspectors of some ask by SQL, which has no NUL.
    const told = given.filter((text) => !text.includes("\0"));
    const holders = await inBatches(told, (text) => inspector.holders(prefix + text));
    const others = await inBatches(given, (text) => lock.backend.acquire(prefix + text, { ttlMs: TTL_MS, owner: "other" }));
    const released = await inBatches(leases, (lease) => lock.backend.release(lease));
    const stand = await Promise.all(canaries.map((lease) => lock.backend.extend(lease)));
    await Promise.all(canaries.map((lease) => lock.backend.release(lease)));

    expect(holders.filter((count) => count !== 1)).toEqual([]);
    expect(others.filter(({ lease }) => lease !== null)).toEqual([]);
    expect(released.filter((was) => !was)).toEqual([]);
    expect(stand).toEqual(CANARIES.map(() => true));
  });
});

describe("the locks of exclaim", () => {
  it("refuse what no server tells apart, before one is asked", async () => {
    const exclaim = createExclaim({ lock: memoryLock() });

    const codes = await Promise.all(
      ["", "\ud800", "\udc00x"].map((key) =>
        exclaim.lock.acquire(key).then(
          () => "taken",
          (error: unknown) => isExclaimError(error) && error.code,
        ),
      ),
    );

    expect(codes).toEqual(["CONFIG_INVALID", "KEY_INVALID", "KEY_INVALID"]);
  });

  it("have keys of which no two stand for different parts, and in which nothing is a pattern, a tag or a path", () => {
    const texts = hostileTexts(300).filter((text) => text.isWellFormed());
    const keys = new Map<string, string>();

    const pairs = texts.flatMap((one, index) => [
      [one, texts[(index * 7 + 1) % texts.length] ?? ""] as const,
      ["a", one] as const,
    ]);
    for (const [one, other] of pairs) {
      const made = [
        [resourceKey(one, other), `resource ${JSON.stringify([one, other])}`],
        [slotKey(one, { [other]: one }, other), `slot ${JSON.stringify([one, other])}`],
      ] as const;
      for (const [key, parts] of made) {
        expect(keys.get(key) ?? parts).toBe(parts);
        keys.set(key, parts);
        expect(key).not.toMatch(/[*?[\]{}/\\\s"'`;$\p{Cc}]/u);
      }
    }
    expect(rowKey("a:row", "b")).not.toBe(rowKey("a", "row:b"));
    expect(resourceKey("a:b", "c")).not.toBe(resourceKey("a", "b:c"));
    expect(slotKey("p", { a: "1&b=2" }, "c")).not.toBe(slotKey("p", { a: "1", b: "2" }, "c"));
  });
});

describe("hostile names of tables and schemas", () => {
  let mariadb: FreshMysqlDatabase;
  let database: FreshDatabase;
  beforeAll(async () => {
    [mariadb, database] = await Promise.all([freshMysqlDatabase(), freshDatabase()]);
  });
  afterAll(async () => {
    await Promise.all([mariadb.drop(), database.drop()]);
  });

  it("are quoted by MariaDB's lease rows, or refused, and no other table is made or touched", async () => {
    const pool = mysqlClient.createPool({ uri: mariadb.url });
    await pool.query("create table canary (id int primary key)");
    await pool.query("insert into canary values (1)");
    const given = hostileTexts(0).filter((text) => text !== "canary" && text.length < 300);

    const codes = await inBatches(given, async (table) => {
      try {
        const { lease } = await mysql(pool, { table, callTimeoutMs: 10_000 }).acquire("a", { ttlMs: TTL_MS, owner: "a" });
        return lease === null ? "refused" : "taken";
      } catch (error) {
        return isExclaimError(error) ? error.code : String(error);
      }
    });

    const [tables] = await pool.query<RowDataPacket[]>(
      "select table_name as name from information_schema.tables where table_schema = database()",
    );
    const names = tables.map(({ name }) => String(name)).filter((name) => name !== "canary");
    const [canary] = await pool.query<RowDataPacket[]>("select id from canary");
    await pool.end();
    const lower = new Set(given.map((text) => text.toLowerCase()));
    expect(names.filter((name) => !lower.has(name.toLowerCase()))).toEqual([]);
    expect(codes.filter((code) => !["taken", "refused", "CONFIG_INVALID", "LOCK_UNREACHABLE"].includes(code))).toEqual([]);
    expect(canary).toEqual([{ id: 1 }]);
  });

  it("are refused by PostgreSQL's lease rows", async () => {
    await database.pool.query("create table canary (id text, note text); insert into canary values ('1', 'stands')");
    const before = await databaseFingerprint(database.pool);

    const codes = await inBatches(hostileTexts(0), async (schema) => {
      try {
        await postgres(database.pool, { schema, callTimeoutMs: 10_000 }).acquire("a", { ttlMs: TTL_MS, owner: "a" });
        return "taken";
      } catch (error) {
        return isExclaimError(error) ? error.code : String(error);
      }
    });

    expect(codes.filter((code) => !["CONFIG_INVALID", "SCHEMA_OUTDATED"].includes(code))).toEqual([]);
    expect(await databaseFingerprint(database.pool)).toBe(before);
  });
});

async function taken(backend: LockBackend, key: string, owner: string): Promise<LockLease> {
  const { lease } = await backend.acquire(key, { ttlMs: TTL_MS, owner });
  if (lease === null) throw new Error(`${JSON.stringify(key.slice(0, 100))} is held by somebody else`);
  return lease;
}

/** Twenty at a time: how many calls a server answers within one call's time limit is not what is tested. */
async function inBatches<T, R>(items: readonly T[], call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += 20) {
    results.push(...(await Promise.all(items.slice(start, start + 20).map(call))));
  }
  return results;
}
