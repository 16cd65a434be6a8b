import { createExclaim } from "exclaim";
import { redlock } from "exclaim/lock/redlock";
import pg from "pg";
import { CONNECTIONS, connect, disconnect } from "../../locks/connections.ts";
import type { Voucher, Work } from "./broker.ts";
import { handWritten } from "./hand-written.ts";
import type { PodSettings } from "./pod-calls.ts";

const LOCK_TTL_MS = 30_000;

/** What a pod does with its jobs, connected. */
export async function openWork(settings: PodSettings): Promise<{ readonly work: Work; close(): Promise<void> }> {
  if (settings.handler === "noop") return { work: { kind: "plain", serve: async () => undefined }, close: async () => {} };

  const database = new pg.Pool({ connectionString: settings.databaseUrl, max: settings.databaseConnections });
  database.on("error", () => {});
  const clients = settings.handler === "with-claim-ledger" ? [] : await connect(settings.lockUrls, LOCK_CONNECTION);
  const closeClients = async (): Promise<void> => {
    disconnect(clients);
    await database.end();
  };
  if (settings.handler === "hand-written") {
    const serve = handWritten(database, clients, { table: settings.table, ttlMs: LOCK_TTL_MS });
    return { work: { kind: "plain", serve }, close: closeClients };
  }

  const lock = clients.length === 0 ? {} : { lock: redlock(clients) };
  const exclaim = createExclaim({ database, schema: settings.ledgerSchema, ttlMs: LOCK_TTL_MS, ...lock });
  const pool = exclaim.pool<Voucher>({ table: settings.table, ownerColumn: "user_id" });
  return {
    work: { kind: "claim", pool },
    async close() {
      await exclaim.close();
      await closeClients();
    },
  };
}

/** As the README recommends it: no queue in the client, and an end to every command. */
const LOCK_CONNECTION = { ...CONNECTIONS.limited(LOCK_TTL_MS), commandTimeout: 1_000 };
