import { createExclaim } from "exclaim";
import pg from "pg";

/** Where rows are claimed from: a table of the case's own, and a ledger of its own that is migrated already. */
export interface ClaimPlace {
  readonly databaseUrl: string;
  /** Schema and name. */
  readonly table: string;
  readonly ledgerSchema: string;
}

export interface VoucherClaims {
  /** Claims and completes a row for the next claimant, 1, 2, 3 and so on. `onHeld`: the handler starts. Throws unless it completes. */
  claim(onHeld?: () => void): Promise<void>;
  close(): Promise<void>;
}

/** Connections to the database, the same for whoever claims. */
const DATABASE_CONNECTIONS = 20;

/** Claims through the engine with the ledger's lease alone and no queue. */
export function openVoucherClaims({ databaseUrl, table, ledgerSchema }: ClaimPlace): VoucherClaims {
  const database = new pg.Pool({ connectionString: databaseUrl, max: DATABASE_CONNECTIONS });
  database.on("error", () => {});
  const exclaim = createExclaim({ database, schema: ledgerSchema });
  const vouchers = exclaim.pool<{ id: string; code: string }>({ table, ownerColumn: "user_id" });
  let claimants = 0;
  return {
    async claim(onHeld) {
      claimants += 1;
      const outcome = await vouchers.claim({ claimant: String(claimants) }, async ({ row }) => {
        onHeld?.();
        return { code: row.code };
      });
      if (outcome.status !== "completed") throw new Error(`a claim ended ${outcome.status}`, { cause: outcome });
    },
    async close() {
      await exclaim.close();
      await database.end();
    },
  };
}

/** Claims `count` times, as many at a time as `concurrency` says. Answers how long it took, in ms. */
export async function claimMany(claims: VoucherClaims, count: number, concurrency: number): Promise<number> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await claims.claim();
    }
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
  return performance.now() - startMs;
}
