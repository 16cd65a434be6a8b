import { describe, expect, it } from "vitest";
import { mysql } from "../../src/lock/mysql.ts";
import { ManualClock, settle } from "../support/manual-clock.ts";
import { type ScriptedPool, type ScriptedStatement, scriptedPool } from "./scripted-mysql.ts";

const KEY = "order:1";
const LEASE = { key: KEY, owner: "a", ttlMs: 60_000 };
const LIMIT_MS = 300;
const DEADLOCK = Object.assign(new Error("Deadlock found"), { errno: 1213, sqlState: "40001" });
const INTERRUPTED = Object.assign(new Error("Query execution was interrupted"), { errno: 1317, sqlState: "70100" });

// Planted once and seen to fail, each by itself: a release whatever the owner wants by then; one for each attempt; none when the newer
// attempt failed; an attempt that does not wait for a release under way; a connection returned before its answer; one kept for ever.
describe("mysql and answers that come late", () => {
  it("L5 releases what an attempt won after its caller was told that it failed, when the answer has come and not before", async () => {
    const { pool, clock, lock } = open();
    const attempt = lock.acquire(KEY, LEASE).catch((error) => error);
    await clock.advance(LIMIT_MS + 1);
    expect((await attempt).code).toBe("LOCK_UNREACHABLE");
    expect([verbs(pool), pool.returned]).toEqual([["insert"], []]);

    await at(pool, 0).answer();

    expect([verbs(pool), pool.returned]).toEqual([["insert", "delete"], [false]]);
  });

  it("L5 releases it after the commit, on a connection that does not commit by itself", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);

    for (const index of [0, 1, 2, 3]) await at(pool, index).answer({ serverStatus: 1 });

    expect(verbs(pool)).toEqual(["insert", "rollback", "insert", "commit", "delete"]);
  });

  it("L7 keeps what the same owner's next attempt won, when the answer to the first one comes after that", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    const second = lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 1).answer();
    const before = verbs(pool).length;

    await at(pool, 0).answer();

    expect((await second).lease).toEqual(LEASE);
    expect(verbs(pool)).toHaveLength(before);
  });

  it("L7 keeps it too when the answer to the first one comes while the next attempt is under way", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    const second = lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 0).answer();
    const before = verbs(pool);

    await at(pool, 1).answer();

    expect((await second).lease).toEqual(LEASE);
    expect(before).toEqual(["insert", "insert"]);
  });

  it("L5 releases once, after the last answer, when two attempts of one owner failed", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);

    await at(pool, 0).answer();
    const between = verbs(pool);
    await at(pool, 1).answer();

    expect([between, verbs(pool)]).toEqual([
      ["insert", "insert"],
      ["insert", "insert", "delete"],
    ]);
  });

  it("L5 releases what the first attempt won when the next one is refused by the server with an error", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    void lock.acquire(KEY, LEASE).catch(() => {});
    await settle();
    await at(pool, 0).answer();

    await at(pool, 1).fail(INTERRUPTED);

    expect(verbs(pool)).toEqual(["insert", "insert", "delete"]);
  });

  it("L7 asks again only after the release of what came late, or fails in time", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    await at(pool, 0).answer();
    const impatient = lock.acquire(KEY, LEASE).catch((error) => error);
    await clock.advance(LIMIT_MS + 1);
    expect((await impatient).code).toBe("LOCK_UNREACHABLE");
    const again = lock.acquire(KEY, LEASE);
    await settle();
    expect(verbs(pool)).toEqual(["insert", "delete"]);

    await at(pool, 1).answer();
    await at(pool, -1).answer();

    expect((await again).lease).toEqual(LEASE);
    expect(verbs(pool).slice(0, 3)).toEqual(["insert", "delete", "insert"]);
  });

  it("L6 closes a connection on which nothing came for 30 s, and releases by another one", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    await clock.advance(29_000);
    expect(pool.returned).toEqual([]);

    await clock.advance(1_001);

    expect([pool.returned, verbs(pool)]).toEqual([[true], ["insert", "delete"]]);
  });

  it("L6 tries again after a deadlock, until the time limit", async () => {
    const { pool, clock, lock } = open();
    const attempt = lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 0).fail(DEADLOCK);
    await at(pool, 1).answer();
    expect((await attempt).lease).toEqual(LEASE);
    const extended = lock.extend(LEASE).catch((error) => error);
    await settle();
    clock.stall(LIMIT_MS);

    await at(pool, -1).fail(DEADLOCK);

    expect(await extended).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("Deadlock found") });
  });
});

function open() {
  const pool = scriptedPool();
  const clock = new ManualClock();
  return { pool, clock, lock: mysql(pool, { clock, callTimeoutMs: LIMIT_MS }) };
}

function verbs(pool: ScriptedPool): string[] {
  return pool.statements.map(({ verb }) => verb);
}

function at(pool: ScriptedPool, index: number): ScriptedStatement {
  const statement = pool.statements.at(index);
  if (statement === undefined) throw new Error(`there is no statement ${index} among ${pool.statements.length}`);
  return statement;
}
