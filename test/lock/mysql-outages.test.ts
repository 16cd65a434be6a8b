import type mysqlClient from "mysql2/promise";
import type { RowDataPacket } from "mysql2/promise";
import { describe, expect, it, onTestFinished } from "vitest";
import { mysql } from "../../src/lock/mysql.ts";
import { eventually } from "../support/eventually.ts";
import { startMariadb } from "../support/mariadb.ts";
import { inDatabase, openMysqlClients } from "./mysql-clients.ts";

const TTL_MS = 60_000;
const LIMIT_MS = 300;
/** Well above the time limit, well below what would be waited for without one. */
const SOON_MS = 5_000;
const LEASE = { key: "order:1", owner: "a", ttlMs: TTL_MS };

describe("a MariaDB that hangs", () => {
  // Planted once and seen to fail: no time limit; no release after a late answer.
  it("L5 L6 lets acquire fail in time, and a lease it grants late is given back with the connection", async () => {
    const { server, clients, owners } = await privateServer();
    const lock = mysql(clients.pool, { callTimeoutMs: LIMIT_MS });
    await clients.pool.query("select 1");
    server.hang();

    const failed = await timed(() => lock.acquire("order:1", LEASE).catch((error) => error));
    server.resume();

    expect(failed.value).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining('acquire "order:1"'),
      details: { nodes: [{ node: `127.0.0.1:${server.port}`, cause: "no answer within 300 ms" }] },
    });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    await eventually(() => clients.connections().inUse === 0, { what: "the return of all connections" });
    await eventually(async () => (await owners()).length === 0, { what: "the release of what was won late" });
    expect((await patient(clients.pool).acquire("order:1", { ...LEASE, owner: "b" })).lease).not.toBeNull();
  });

  it("L6 lets extend and release fail in time; the lease stands, or is free, once it goes on", async () => {
    const { server, clients, owners } = await privateServer();
    const lock = mysql(clients.pool, { callTimeoutMs: LIMIT_MS });
    await patient(clients.pool).acquire("order:1", LEASE);
    server.hang();

    const extended = await timed(async () => lock.extendMany?.([LEASE, { ...LEASE, key: "order:2" }]).catch((error) => error));
    server.resume();
    const extendedAgain = await patient(clients.pool).extend(LEASE);
    server.hang();
    const released = await timed(() => lock.release(LEASE).catch((error) => error));
    server.resume();

    expect(extended.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("extend 2 leases") });
    expect(extendedAgain).toBe(true);
    expect(released.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("release") });
    expect(Math.max(extended.tookMs, released.tookMs)).toBeLessThan(SOON_MS);
    await eventually(async () => (await owners()).length === 0, { what: "the late release" });
  });

  it("L6 lets calls fail in time that wait for a connection, whatever the pool's own limits are", async () => {
    const { server, clients } = await privateServer({ connectionLimit: 1 });
    const lock = mysql(clients.pool, { callTimeoutMs: LIMIT_MS });
    server.hang();

    const calls = [1, 2, 3].map((index) => lock.acquire(`order:${index}`, LEASE).catch((error) => error));
    const failed = await timed(() => Promise.all(calls));
    server.resume();

    expect(failed.value.map(({ code }) => code)).toEqual(["LOCK_UNREACHABLE", "LOCK_UNREACHABLE", "LOCK_UNREACHABLE"]);
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    await eventually(() => clients.connections().inUse === 0, { what: "the return of the connection" });
  });
});

describe("a MariaDB that is killed", () => {
  it("L1 L6 knows its leases when it is back, and calls in between fail at once", async () => {
    const { server, clients } = await privateServer();
    const lock = patient(clients.pool);
    await lock.acquire("order:1", LEASE);
    await server.kill();

    const failed = await lock.extend(LEASE).catch((error) => error);
    await server.restart();

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(await eventually(() => lock.extend(LEASE), { what: "a connection after the restart" })).toBe(true);
    expect((await lock.acquire("order:1", { ...LEASE, owner: "b" })).lease).toBeNull();
  });
});

describe("a statement that waits behind somebody's own lock on the row", () => {
  it("L5 L6 fails in time and is undone once it was run", async () => {
    const { clients, looking, owners } = await privateServer();
    const lock = mysql(clients.pool, { callTimeoutMs: LIMIT_MS });
    await patient(clients.pool).acquire("order:1", { ttlMs: 1, owner: "gone" });
    const maintenance = await looking.pool.getConnection();
    await maintenance.query("begin");
    await maintenance.query("select * from exclaim_locks for update");

    const failed = await timed(() => lock.acquire("order:1", LEASE).catch((error) => error));
    await maintenance.query("commit");
    maintenance.release();

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(failed.tookMs).toBeLessThan(SOON_MS);
    await eventually(() => clients.connections().inUse === 0, { what: "the return of all connections" });
    await eventually(async () => (await owners()).length === 0, { what: "the release of what was won late" });
  });

  it("L6 fails at once when its connection is killed, and the pool goes on", async () => {
    const { clients, looking } = await privateServer();
    await patient(clients.pool).acquire("order:1", { ttlMs: 1, owner: "gone" });
    const maintenance = await looking.pool.getConnection();
    await maintenance.query("begin");
    await maintenance.query("select * from exclaim_locks for update");
    const acquiring = patient(clients.pool)
      .acquire("order:1", LEASE)
      .catch((error) => error);
    const waiting = async () =>
      (await looking.pool.query<RowDataPacket[]>("select id from information_schema.processlist where info like 'insert%'"))[0];

    const [victim] = await eventually(async () => ((await waiting()).length === 1 ? waiting() : null), {
      what: "the waiting statement",
    });
    await looking.pool.query(`kill ${victim?.id}`);
    const failed = await acquiring;
    await maintenance.query("commit");
    maintenance.release();

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect((await patient(clients.pool).acquire("order:2", LEASE)).lease).not.toBeNull();
  });
});

/** So that a machine busy with other tests is not taken for a server that does not answer. */
function patient(pool: mysqlClient.Pool) {
  return mysql(pool, { callTimeoutMs: 10_000 });
}

async function privateServer(options: mysqlClient.PoolOptions = {}) {
  const server = await startMariadb();
  const url = await inDatabase(server.url, "locks");
  const [clients, looking] = [openMysqlClients(url, options), openMysqlClients(url)];
  onTestFinished(async () => {
    server.resume();
    await Promise.all([clients.close(), looking.close()]);
    await server.stop();
  });
  await patient(looking.pool).acquire("the table is made", LEASE);
  await patient(looking.pool).release({ ...LEASE, key: "the table is made" });
  const owners = async () =>
    (await looking.pool.query<RowDataPacket[]>("select * from exclaim_locks where leased_until > utc_timestamp(6)"))[0];
  return { server, clients, looking, owners };
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, tookMs: performance.now() - startedAt };
}
