import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgres, postgresAdvisory } from "../../src/lock/postgres.ts";
import { startPostgres } from "../support/postgres.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { startPgBouncer } from "./pgbouncer.ts";
import { openPostgresClients } from "./postgres-clients.ts";

const PATIENT = { callTimeoutMs: 10_000 };
const TTL_MS = 60_000;

let server: ServerProcess;
let pooler: ServerProcess;
beforeAll(async () => {
  server = await startPostgres();
  pooler = await startPgBouncer(server);
  const clients = openPostgresClients(server.url);
  await migrate(clients.pool, systemClock, "exclaim");
  await clients.close();
});
afterAll(async () => {
  await pooler.stop();
  await server.stop();
});

describe("behind a PgBouncer that shares its connections by transaction", () => {
  it("L1 L2 L8 lease rows exclude, are extended and released, over 40 connections made of 5", async () => {
    const lock = postgres(open(40), PATIENT);
    const keys = Array.from({ length: 40 }, (_, index) => `order:${index}`);

    const attempts = await Promise.all(
      keys.flatMap((key) => ["a", "b", "c"].map((owner) => lock.acquire(key, { ttlMs: TTL_MS, owner }))),
    );
    const leases = attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
    const extended = await lock.extendMany?.(leases);
    const released = await Promise.all(leases.map((lease) => lock.release(lease)));

    expect(leases.map(({ key }) => key)).toEqual(keys);
    expect(extended?.filter(Boolean)).toHaveLength(40);
    expect(released.filter(Boolean)).toHaveLength(40);
  });

  // Planted once and seen to fail: no comparison with the number that the pooler makes up.
  it("L1 advisory locks are refused with what to do instead, and none is left behind", async () => {
    const pool = open(2);
    const lock = postgresAdvisory(pool, PATIENT);

    const refused = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" }).catch((error) => error);

    expect(refused).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/pooler in between.*use postgres\(\)/),
    });
    expect((await pool.query("select 1 from pg_locks where locktype = 'advisory'")).rows).toEqual([]);
  });
});

function open(max: number) {
  const clients = openPostgresClients(pooler.url, { max });
  onTestFinished(() => clients.close());
  return clients.pool;
}
