import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { LockBackend, LockLease } from "../../src/lock/lock.ts";
import { postgresAdvisory } from "../../src/lock/postgres.ts";
import type { PostgresPool } from "../../src/lock/postgres-pool.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase, startPostgres } from "../support/postgres.ts";
import { openPostgresClients } from "./postgres-clients.ts";

const PATIENT_MS = 10_000;
const LIMIT_MS = 300;
/** Well above the time limit, well below what would be waited for without one. */
const SOON_MS = 5_000;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

describe("a connection that holds advisory locks and is lost", () => {
  it("L2 takes all of them with it: extend is false at once and for ever, and the next lock is on a new one", async () => {
    const { lock, pool } = open(database.url);
    const leases = await win(lock, 3);
    const ended = new Promise((resolve) => pool.once("remove", resolve));

    await database.pool.query("select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory'");
    await ended;

    expect(await lock.extendMany?.(leases)).toEqual([false, false, false]);
    const again = await lock.acquire(leases[0]?.key ?? "", { ttlMs: 60_000, owner: "b" });
    expect(again.lease?.owner).toBe("b");
    expect(await lock.extendMany?.([...leases, again.lease as LockLease])).toEqual([false, false, false, true]);
    expect(await Promise.all(leases.map((lease) => lock.release(lease)))).toEqual([false, false, false]);
    expect(pool.totalCount).toBe(1);
  });

  it("L5 with the answer to an attempt is a failure of that attempt, and leaves nothing behind", async () => {
    const proxy = await startCutProxy(database.url);
    onTestFinished(() => proxy.close());
    const { lock } = open(proxy.url);
    const [held] = await win(lock, 1);
    const key = randomUUID();
    void proxy.loseAnswer("pg_try_advisory_lock");

    const failed = await lock.acquire(key, { ttlMs: 60_000, owner: "a" }).catch((error) => error);

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", details: { backend: "postgres-advisory" } });
    expect(await lock.extend(held as LockLease)).toBe(false);
    await eventually(async () => (await locks()).length === 0, { what: "the end of the session" });
    expect((await lock.acquire(key, { ttlMs: 60_000, owner: "b" })).lease).not.toBeNull();
  });

  it("L2 with its server is not brought back by the restarted one", async () => {
    const { server, lock } = await privateServer(PATIENT_MS);
    const [lease] = await win(lock, 1);

    await server.restart();

    expect(await eventually(async () => [await lock.extend(lease as LockLease)], { what: "an answer" })).toEqual([false]);
    const again = await eventually(() => lock.acquire(lease?.key ?? "", { ttlMs: 60_000, owner: "b" }), { what: "a new lock" });
    expect(again.lease?.owner).toBe("b");
  });
});

describe("a PostgreSQL that hangs", () => {
  // Planted once and seen to fail: no time limit; a connection that is kept.
  it("L5 L6 lets acquire fail in time, and what it grants late goes with the connection", async () => {
    const { server, lock, pool, locksHeld } = await privateServer(LIMIT_MS);
    await pool.query("select 1");
    server.hang();

    const failed = await timed(() => lock.acquire("order:1", { ttlMs: 60_000, owner: "a" }).catch((error) => error));
    const connections = pool.totalCount;
    server.resume();

    expect(failed.value).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { nodes: [{ node: `127.0.0.1:${server.port}`, cause: "no answer within 300 ms" }] },
    });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    expect(connections).toBe(0);
    await eventually(async () => (await locksHeld()).length === 0, { what: "the end of the session" });
  });

  // Planted once and seen to fail: a connection that is closed at once, and its locks free while somebody trusts them.
  it("L1 L6 lets extend fail in time, and what is held stays held until nobody may trust it; when it goes on, so do the locks", async () => {
    const { server, lock, locksHeld } = await privateServer(LIMIT_MS);
    const [lease] = await win(lock, 1);
    server.hang();

    const failed = await timed(() => lock.extend(lease as LockLease).catch((error) => error));
    server.resume();
    const extended = await eventually(() => lock.extend(lease as LockLease), { what: "an answer in time" });

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("extend") });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    expect(extended).toBe(true);
    expect(await locksHeld()).toHaveLength(1);
    expect(await lock.release(lease as LockLease)).toBe(true);
    await eventually(async () => (await locksHeld()).length === 0, { what: "the release" });
  });

  it("L2 L6 for longer than the ttl loses what was held, for ever", async () => {
    const { server, lock, pool, locksHeld } = await privateServer(LIMIT_MS);
    const [lease] = await win(lock, 1, 1_500);
    server.hang();
    await lock.extend(lease as LockLease).catch(() => {});

    await eventually(() => pool.totalCount === 0, { what: "the end of the connection" });
    const whileHung = await lock.extend(lease as LockLease);
    server.resume();

    expect([whileHung, await lock.extend(lease as LockLease)]).toEqual([false, false]);
    await eventually(async () => (await locksHeld()).length === 0, { what: "the end of the session" });
  });

  it("L6 lets release fail in time, and the lock is free when it goes on", async () => {
    const { server, lock, locksHeld } = await privateServer(LIMIT_MS);
    const [lease] = await win(lock, 1);
    server.hang();

    const failed = await timed(() => lock.release(lease as LockLease).catch((error) => error));
    server.resume();

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("release") });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    await eventually(async () => (await locksHeld()).length === 0, { what: "the release" });
  });
});

describe("a session on which something went wrong", () => {
  // Planted once and seen to fail: late answers taken for those of the next statements; new locks on a session in doubt; a connection
  // in doubt given back to the pool.
  it("L1 L5 keeps what it holds, frees what it wins late, takes no new locks, and is closed with its last one", async () => {
    const { lock, pool, slow } = openSlow();
    const [held] = await win(lock, 1);
    const answered = slow();

    const late = await lock.acquire("late", { ttlMs: 60_000, owner: "a" }).catch((error) => error);
    const next = await lock.acquire("next", { ttlMs: 60_000, owner: "a" });
    const whileSlow = [pool.totalCount, pool.idleCount];
    answered();
    const extended = await eventually(() => lock.extendMany?.([held as LockLease, next.lease as LockLease]) ?? null, {
      what: "an answer in time",
    });

    expect(late).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(next.lease?.key).toBe("next");
    expect(whileSlow).toEqual([2, 0]);
    expect(extended).toEqual([true, true]);
    await eventually(async () => expect(await locks()).toHaveLength(2), { what: "the freeing of what was won late" });
    expect(await lock.release(held as LockLease)).toBe(true);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
    expect(await lock.release(next.lease as LockLease)).toBe(true);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    expect(await locks()).toEqual([]);
  });

  it("L1 L5 a statement that the server gave up does the same", async () => {
    const { lock, pool, failNext } = openSlow();
    const [held] = await win(lock, 1);
    failNext();

    const failed = await lock.acquire("cancelled", { ttlMs: 60_000, owner: "a" }).catch((error) => error);
    const again = await lock.acquire("again", { ttlMs: 60_000, owner: "a" });

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("canceling statement") });
    expect(again.lease).not.toBeNull();
    expect([pool.totalCount, await lock.extend(held as LockLease)]).toEqual([2, true]);
    await lock.release(held as LockLease);
    expect(pool.totalCount).toBe(1);
    await lock.release(again.lease as LockLease);
    await eventually(async () => (await locks()).length === 0, { what: "the end of the session" });
  });
});

function open(url: string, callTimeoutMs = PATIENT_MS) {
  const clients = openPostgresClients(url);
  onTestFinished(() => clients.close());
  return { pool: clients.pool, lock: postgresAdvisory(clients.pool, { callTimeoutMs }) };
}

/** A back-end whose next statement can be held up after the server ran it, or failed after it. */
function openSlow() {
  const clients = openPostgresClients(database.url);
  onTestFinished(() => clients.close());
  let holdUp: Promise<void> | undefined;
  let failure: Error | undefined;
  const pool: PostgresPool = {
    connect: (checkedOut) =>
      clients.pool.connect((error, client) => {
        if (client === undefined) return checkedOut(error, undefined);
        checkedOut(undefined, {
          query: async (query) => {
            const [waiting, failing] = [holdUp, failure];
            holdUp = undefined;
            failure = undefined;
            const answer = await client.query(query);
            if (failing !== undefined) throw failing;
            await waiting;
            return answer;
          },
          processID: (client as unknown as { processID: number }).processID,
          release: (isSuspect) => client.release(isSuspect),
          on: (event, listener) => client.on(event, listener),
          removeListener: (event, listener) => client.removeListener(event, listener),
        });
      }),
  };
  return {
    pool: clients.pool,
    lock: postgresAdvisory(pool, { callTimeoutMs: 1_000 }),
    slow: () => {
      let answered = () => {};
      holdUp = new Promise((resolve) => {
        answered = resolve;
      });
      return () => answered();
    },
    failNext: () => {
      failure = Object.assign(new Error("canceling statement due to user request"), { code: "57014", severity: "ERROR" });
    },
  };
}

async function privateServer(callTimeoutMs: number) {
  const server = await startPostgres();
  const looking = openPostgresClients(server.url, { max: 1 });
  const clients = openPostgresClients(server.url);
  onTestFinished(async () => {
    server.resume();
    await Promise.all([clients.close(), looking.close()]);
    await server.stop();
  });
  return {
    server,
    pool: clients.pool,
    lock: postgresAdvisory(clients.pool, { callTimeoutMs }),
    locksHeld: () => locks(looking.pool),
  };
}

async function win(lock: LockBackend, count: number, ttlMs = 60_000): Promise<LockLease[]> {
  const attempts = await Promise.all(Array.from({ length: count }, () => lock.acquire(randomUUID(), { ttlMs, owner: "a" })));
  return attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
}

async function locks(pool = database.pool): Promise<unknown[]> {
  const text = `select objid from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())`;
  return (await pool.query(text)).rows;
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, tookMs: performance.now() - startedAt };
}
