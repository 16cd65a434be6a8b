import { Child } from "../../child.ts";
import { type BenchSchema, Stage } from "../../stage.ts";
import { migrateLedger } from "../migrate-ledger.ts";
import { assertLedgerAgrees, assertOneRowEach, createVoucherTable } from "../voucher-table.ts";
import type { ClaimerCalls } from "./claimer-calls.ts";

export interface ClaimerSettings {
  readonly name: string;
  readonly database: BenchSchema;
  readonly stage: Stage;
  /** Rows of its table: at least as many as it will claim. */
  readonly rows: number;
}

/** A process that claims from a table and a ledger of its own. */
export interface Claimer {
  readonly child: Child<ClaimerCalls>;
  /** Throws unless each claimant from 1 to `claimants` has exactly one row, and the ledger says the same. */
  verify(claimants: number): Promise<void>;
  close(): Promise<void>;
}

export async function openClaimer({ name, database, stage: outer, rows }: ClaimerSettings): Promise<Claimer> {
  const stage = new Stage();
  outer.atEnd(() => stage.end());
  const suffix = name.replaceAll(/[^a-z0-9]/g, "_");
  const table = `${database.schema}.voucher_${suffix}`;
  const ledgerSchema = `${database.schema}_${suffix}`;
  await createVoucherTable(database.pool, table, rows);
  await migrateLedger(stage, database, ledgerSchema);
  const child = Child.start<ClaimerCalls>(stage, "claims/endurance/claimer.ts");
  await child.ask("begin", { databaseUrl: database.url, table, ledgerSchema });
  return {
    child,
    async verify(claimants) {
      await assertOneRowEach(database.pool, table, claimants);
      await assertLedgerAgrees(database.pool, table, ledgerSchema);
      const { uncaught } = await child.condition();
      if (uncaught.length > 0) throw new Error(`${uncaught.length} rejections that nobody caught: ${uncaught[0]}`);
    },
    async close() {
      await child.ask("close", undefined);
      await stage.end();
    },
  };
}
