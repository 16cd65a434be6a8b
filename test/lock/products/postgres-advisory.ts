import pg from "pg";
import { postgresAdvisory } from "../../../src/lock/postgres.ts";
import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { postgres } from "../../support/services/postgres.ts";
import { openPostgresClients, startPostgresServer } from "../postgres-clients.ts";

/** The sessions that hold a key, each once however many leases it has. $1: the key. */
const SESSIONS = `
  select pid from pg_locks
  where locktype = 'advisory' and granted and objsubid = 1
    and ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)`;

export const product: LockProduct = {
  title: "PostgreSQL advisory locks",
  capabilities: { expiry: "session", ttlGranularityMs: 1, shared: true, fifo: false, push: false },
  tellsHolderTime: false,
  shared: { service: postgres, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startPostgresServer()],
  survivesRestart: false,
  open: async ([url = ""]) => {
    const clients = openPostgresClients(url);
    return { backend: postgresAdvisory(clients.pool, { callTimeoutMs: 3_000 }), close: clients.close };
  },
  inspect: async ([url = ""]) => {
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    pool.on("error", () => {});
    return {
      holders: async (key) => (await pool.query(SESSIONS, [key])).rows.length,
      remove: async (key) => {
        await pool.query(`select pg_terminate_backend(pid, 5000) from (${SESSIONS}) as holders`, [key]);
      },
      close: () => pool.end(),
    };
  },
};
