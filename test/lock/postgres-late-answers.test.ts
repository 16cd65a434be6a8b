import { describe, expect, it } from "vitest";
import { postgres } from "../../src/lock/postgres.ts";
import { ManualClock, settle } from "../support/manual-clock.ts";
import { type ScriptedPool, type ScriptedStatement, scriptedPool } from "./scripted-postgres.ts";

const KEY = "order:1";
const LEASE = { key: KEY, owner: "a", ttlMs: 60_000 };
const LIMIT_MS = 300;
const WON = { won: 1, left_ms: null };

// Planted once and seen to fail, each by itself: a release whatever the owner wants by then; one for each attempt; none when the newer
// attempt failed; an attempt that does not wait for a release under way; a connection returned before its answer; one kept for ever.
describe("postgres and answers that come late", () => {
  it("L5 releases what an attempt won after its caller was told that it failed, when the answer has come and not before", async () => {
    const { pool, clock, lock } = open();
    const attempt = lock.acquire(KEY, LEASE).catch((error) => error);
    await clock.advance(LIMIT_MS + 1);
    expect((await attempt).code).toBe("LOCK_UNREACHABLE");
    expect([calls(pool), pool.returned]).toEqual([["acquire_lock"], []]);

    await at(pool, 0).answer(WON);

    expect([calls(pool), pool.returned]).toEqual([["acquire_lock", "release_lock"], [false]]);
  });

  it("L7 keeps what the same owner's next attempt won, when the answer to the first one comes after that", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    const second = lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 1).answer(WON);

    await at(pool, 0).answer(WON);

    expect((await second).lease).toEqual(LEASE);
    expect(calls(pool).filter((call) => call === "release_lock")).toEqual([]);
  });

  it("L7 keeps it too when the answer to the first one comes while the next attempt is under way", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    const second = lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 0).answer(WON);

    await at(pool, 1).answer(WON);

    expect((await second).lease).toEqual(LEASE);
    expect(calls(pool).filter((call) => call === "release_lock")).toEqual([]);
  });

  it("L5 releases once, after the last answer, when two attempts of one owner failed", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);

    await at(pool, 0).answer(WON);
    const between = calls(pool);
    await at(pool, 1).answer(WON);

    expect(between).toEqual(["acquire_lock", "acquire_lock"]);
    expect(calls(pool)).toEqual(["acquire_lock", "acquire_lock", "release_lock"]);
  });

  it("L5 releases what the first attempt won when the next one is refused by the server with an error", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    void lock.acquire(KEY, LEASE).catch(() => {});
    await settle();
    await at(pool, 0).answer(WON);

    await at(pool, 1).fail(Object.assign(new Error("canceling statement"), { code: "57014", severity: "ERROR" }));

    expect(calls(pool)).toEqual(["acquire_lock", "acquire_lock", "release_lock"]);
  });

  it("L5 releases what the first attempt won after the next one's lease was given back", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    void lock.acquire(KEY, LEASE);
    await settle();
    await at(pool, 1).answer(WON);
    const released = lock.release(LEASE);
    await settle();
    await last(pool).answer({ released: 1 });
    expect(await released).toBe(true);
    const before = calls(pool).length;

    await at(pool, 0).answer(WON);

    expect(calls(pool).slice(before)).toEqual(["release_lock"]);
  });

  it("L7 asks again only after the release of what came late, or fails in time", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    await at(pool, 0).answer(WON);
    const impatient = lock.acquire(KEY, LEASE).catch((error) => error);
    await clock.advance(LIMIT_MS + 1);
    expect((await impatient).code).toBe("LOCK_UNREACHABLE");
    const again = lock.acquire(KEY, LEASE);
    await settle();
    expect(calls(pool)).toEqual(["acquire_lock", "release_lock"]);

    await at(pool, 1).answer({ released: 1 });
    await last(pool).answer(WON);

    expect((await again).lease).toEqual(LEASE);
    expect(calls(pool).filter((call) => call !== "sweep")).toEqual(["acquire_lock", "release_lock", "acquire_lock"]);
  });

  it("L6 closes a connection on which nothing came for 30 s, and releases by another one", async () => {
    const { pool, clock, lock } = open();
    void lock.acquire(KEY, LEASE).catch(() => {});
    await clock.advance(LIMIT_MS + 1);
    await clock.advance(29_000);
    expect(pool.returned).toEqual([]);

    await clock.advance(1_001);

    expect(pool.returned).toEqual([true]);
    expect(calls(pool)).toEqual(["acquire_lock", "release_lock"]);
  });

  it("L5 leaves it at that when the server says that it undid the statement", async () => {
    const { pool, lock } = open();
    const attempt = lock.acquire(KEY, LEASE).catch((error) => error);
    await settle();

    await at(pool, 0).fail(Object.assign(new Error("canceling statement"), { code: "57014", severity: "ERROR" }));

    expect((await attempt).code).toBe("LOCK_UNREACHABLE");
    expect([calls(pool), pool.returned]).toEqual([["acquire_lock"], [false]]);
  });
});

function open() {
  const pool = scriptedPool();
  const clock = new ManualClock();
  return { pool, clock, lock: postgres(pool, { clock, callTimeoutMs: LIMIT_MS }) };
}

function calls(pool: ScriptedPool): string[] {
  return pool.statements.map((statement) => statement.calls);
}

function at(pool: ScriptedPool, index: number): ScriptedStatement {
  const statement = pool.statements.at(index);
  if (statement === undefined) throw new Error(`there is no statement ${index} among ${pool.statements.length}`);
  return statement;
}

function last(pool: ScriptedPool): ScriptedStatement {
  return at(pool, -1);
}
