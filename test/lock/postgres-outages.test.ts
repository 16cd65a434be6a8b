import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgres } from "../../src/lock/postgres.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase, startPostgres } from "../support/postgres.ts";
import { openPostgresClients } from "./postgres-clients.ts";

const TTL_MS = 60_000;
const LIMIT_MS = 300;
/** Well above the time limit, well below what would be waited for without one. */
const SOON_MS = 5_000;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  await migrate(database.pool, systemClock, "exclaim");
});
afterAll(() => database.drop());

describe("a PostgreSQL that hangs", () => {
  // Planted once and seen to fail: no time limit; no release after a late answer; the driver's own limit left in place.
  it.each([{}, { query_timeout: 100 }])(
    "L5 L6 lets acquire fail in time, and a lease it grants late is given back with the connection: %o",
    async (config) => {
      const { server, clients, owners } = await privateServer(config);
      const lock = postgres(clients.pool, { callTimeoutMs: LIMIT_MS });
      await clients.pool.query("select 1");
      server.hang();

      const failed = await timed(() => lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" }).catch((error) => error));
      server.resume();

      expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining('acquire "order:1"') });
      expect(failed.value.details.nodes).toEqual([
        { node: `127.0.0.1:${server.port}`, cause: expect.stringMatching(/^no answer within 300 ms/) },
      ]);
      expect(failed.tookMs).toBeLessThan(SOON_MS);
      await eventually(() => clients.pool.idleCount === clients.pool.totalCount, { what: "the return of all connections" });
      await eventually(async () => (await owners("order:1")).length === 0, { what: "the release of what was won late" });
      expect((await patient(clients.pool).acquire("order:1", { ttlMs: TTL_MS, owner: "b" })).lease).not.toBeNull();
    },
  );

  it("L6 lets extend and release fail in time; the lease stands, or is free, once it goes on", async () => {
    const { server, clients, owners } = await privateServer();
    const lock = postgres(clients.pool, { callTimeoutMs: LIMIT_MS });
    const lease = { key: "order:1", owner: "a", ttlMs: TTL_MS };
    await patient(clients.pool).acquire("order:1", lease);
    server.hang();

    const extended = await timed(() => lock.extend(lease).catch((error) => error));
    server.resume();
    const extendedAgain = await patient(clients.pool).extend(lease);
    server.hang();
    const released = await timed(() => lock.release(lease).catch((error) => error));
    server.resume();

    expect(extended.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("extend") });
    expect(extendedAgain).toBe(true);
    expect(released.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("release") });
    expect(Math.max(extended.tookMs, released.tookMs)).toBeLessThan(SOON_MS);
    await eventually(async () => (await owners("order:1")).length === 0, { what: "the late release" });
  });

  it("L6 lets calls fail in time that wait for a connection, whatever the pool's own limits are", async () => {
    const { server, clients } = await privateServer({ max: 1 });
    const lock = postgres(clients.pool, { callTimeoutMs: LIMIT_MS });
    server.hang();

    const calls = [1, 2, 3].map((index) => lock.acquire(`order:${index}`, { ttlMs: TTL_MS, owner: "a" }).catch((e) => e));
    const failed = await timed(() => Promise.all(calls));
    server.resume();

    expect(failed.value.map(({ code }) => code)).toEqual(["LOCK_UNREACHABLE", "LOCK_UNREACHABLE", "LOCK_UNREACHABLE"]);
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    await eventually(() => clients.pool.idleCount === 1, { what: "the return of the connection" });
  });
});

describe("an event loop that is blocked for longer than the time limit", () => {
  // Planted once and seen to fail: a timer that does not let the socket be read first.
  it("L6 still finds the answer that came in time", async () => {
    const clients = openPostgresClients(database.url, { max: 1 });
    onTestFinished(() => clients.close());
    await clients.pool.query("select 1");
    const lock = postgres(clients.pool, { callTimeoutMs: LIMIT_MS });

    const attempt = lock.acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" });
    // The statement is written before anything is read.
    for (let tick = 0; tick < 10; tick += 1) await new Promise<void>((resolve) => process.nextTick(resolve));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);

    expect((await attempt).lease).not.toBeNull();
  });
});

describe("a PostgreSQL that is killed", () => {
  it("L1 L6 knows its leases when it is back, and calls in between fail at once", async () => {
    const { server, clients } = await privateServer();
    const lock = patient(clients.pool);
    const lease = { key: "order:1", owner: "a", ttlMs: TTL_MS };
    await lock.acquire("order:1", lease);
    await server.kill();

    const failed = await lock.extend(lease).catch((error) => error);
    await server.restart();

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(await eventually(() => lock.extend(lease), { what: "a connection after the restart" })).toBe(true);
    expect((await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "b" })).lease).toBeNull();
  });
});

describe("an answer that is lost", () => {
  // Planted once and seen to fail: no release after a lost connection.
  it("L5 leaves nothing of the attempt whose caller was told that it failed", async () => {
    const { lock, proxy } = await behindProxy();
    const key = randomUUID();
    const lost = proxy.loseAnswer("acquire_lock");

    const failed = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" }).catch((error) => error);
    await lost;

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    await eventually(async () => (await ownersOf(key)).length === 0, { what: "the release of what was won" });
  });

  it("L7 to acquire is a win for the same owner who asks again at once, and stays one", async () => {
    const { lock, proxy } = await behindProxy();

    for (let round = 0; round < 20; round += 1) {
      const key = randomUUID();
      void proxy.loseAnswer("acquire_lock");
      await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "a" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
      const again = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
      expect(again.lease).toEqual({ key, owner: "a", ttlMs: TTL_MS });
      await lock.acquire(`${key} other`, { ttlMs: TTL_MS, owner: "a" });
      expect(await lock.extend({ key, owner: "a", ttlMs: TTL_MS })).toBe(true);
    }
  });

  it("L6 on a connection that says nothing any more costs the time limit, not more", async () => {
    const { lock, proxy } = await behindProxy({ callTimeoutMs: LIMIT_MS });
    const lease = { key: randomUUID(), owner: "a", ttlMs: TTL_MS };
    await patient(database.pool).acquire(lease.key, lease);
    void proxy.loseAnswer("extend_locks", { silently: true });

    const failed = await timed(() => lock.extend(lease).catch((error) => error));

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    expect(await lock.extend(lease)).toBe(true);
  });
});

describe("a statement that waits behind somebody's own lock on the table", () => {
  // Planted once and seen to fail: no cancelling on the server.
  it("L5 L6 fails in time, is cancelled on the server, and does not keep a connection", async () => {
    const clients = openPostgresClients(database.url, { max: 2 });
    const maintenance = await clients.connect();
    onTestFinished(() => clients.close());
    const lock = postgres(clients.pool, { callTimeoutMs: LIMIT_MS });
    const key = randomUUID();
    await maintenance.query("begin; lock table exclaim.locks in access exclusive mode");

    const failed = await timed(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "a" }).catch((error) => error));
    await eventually(() => clients.pool.totalCount === clients.pool.idleCount, { what: "the return of the connections" });
    const { rows: waiting } = await database.pool.query(
      "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    await maintenance.query("commit");

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    expect(waiting).toEqual([]);
    expect(await ownersOf(key)).toEqual([]);
  });

  it("L6 fails at once when its server process is ended", async () => {
    const clients = openPostgresClients(database.url, { max: 1 });
    const maintenance = await clients.connect();
    onTestFinished(() => clients.close());
    await maintenance.query("begin; lock table exclaim.locks in access exclusive mode");
    const acquiring = patient(clients.pool)
      .acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" })
      .catch((error) => error);
    const ending =
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

    await eventually(async () => (await database.pool.query(ending)).rows.length === 1, { what: "the waiting statement" });
    const failed = await acquiring;
    await maintenance.query("commit");

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("administrator command") });
    expect((await patient(clients.pool).acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" })).lease).not.toBeNull();
  });
});

/** So that a machine busy with other tests is not taken for a server that does not answer. */
function patient(pool: ReturnType<typeof openPostgresClients>["pool"]) {
  return postgres(pool, { callTimeoutMs: 10_000 });
}

async function privateServer(config: pg.PoolConfig = {}) {
  const server = await startPostgres();
  const clients = openPostgresClients(server.url, config);
  const looking = openPostgresClients(server.url, { max: 1 });
  onTestFinished(async () => {
    server.resume();
    await Promise.all([clients.close(), looking.close()]);
    await server.stop();
  });
  await migrate(looking.pool, systemClock, "exclaim");
  return { server, clients, owners: (key: string) => ownersOf(key, looking.pool) };
}

async function behindProxy({ callTimeoutMs = 10_000 } = {}) {
  const proxy = await startCutProxy(database.url);
  const clients = openPostgresClients(proxy.url);
  onTestFinished(async () => {
    await proxy.close();
    await clients.close();
  });
  return { proxy, lock: postgres(clients.pool, { callTimeoutMs }) };
}

async function ownersOf(key: string, pool = database.pool): Promise<unknown[]> {
  return (await pool.query("select owners from exclaim.locks where key = $1", [key])).rows;
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, tookMs: performance.now() - startedAt };
}
