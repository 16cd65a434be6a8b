import { createHash } from "node:crypto";
import pg from "pg";
import { systemClock } from "../../../src/clock.ts";
import { migrate } from "../../../src/ledger/migrate.ts";
import { postgres as postgresLock } from "../../../src/lock/postgres.ts";
import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { postgres } from "../../support/services/postgres.ts";
import { openPostgresClients, startPostgresServer } from "../postgres-clients.ts";

const SCHEMA = "exclaim_test_locks";

export const product: LockProduct = {
  title: "PostgreSQL lease rows",
  capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: false, push: true },
  tellsHolderTime: true,
  shared: { service: postgres, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startPostgresServer()],
  survivesRestart: true,
  open: async ([url = ""]) => {
    const clients = openPostgresClients(url);
    await migrate(clients.pool, systemClock, SCHEMA);
    const listener = await clients.connect();
    // So that a machine busy with other tests is not taken for a server that does not answer.
    return { backend: postgresLock(clients.pool, { schema: SCHEMA, callTimeoutMs: 3_000, listener }), close: clients.close };
  },
  inspect: async ([url = ""]) => {
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    pool.on("error", () => {});
    await migrate(pool, systemClock, SCHEMA);
    const hash = (key: string) => createHash("sha256").update(key).digest();
    return {
      holders: async (key) => {
        const text = `select count(*)::int as holders from ${SCHEMA}.locks, unnest(ends) as e (ends) where key_hash = $1 and e.ends > now()`;
        return (await pool.query<{ holders: number }>(text, [hash(key)])).rows[0]?.holders ?? 0;
      },
      remove: async (key) => {
        await pool.query(`delete from ${SCHEMA}.locks where key_hash = $1`, [hash(key)]);
      },
      close: () => pool.end(),
    };
  },
};
