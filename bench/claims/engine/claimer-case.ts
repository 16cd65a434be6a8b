import { Child } from "../../child.ts";
import { type BenchSchema, Stage } from "../../stage.ts";
import type { BenchCase, OpenCase } from "../bench-case.ts";
import { migrateLedger } from "../migrate-ledger.ts";
import { assertLedgerAgrees, assertOneRowEach, createVoucherTable } from "../voucher-table.ts";
import type { ClaimerCalls, ClaimerSettings } from "./claimer-calls.ts";

export interface EngineCaseSettings {
  readonly name: string;
  readonly concurrency: number;
  /** Claimed and completed in one round. */
  readonly pairs: number;
  /** Of its table, the same for all cases of the group. */
  readonly rows: number;
  readonly database: BenchSchema;
  readonly stage: Stage;
}

/** A table, and a ledger, of one case's own, on a stage of its own that ends with it. */
export async function openCaseTables({ name, database, stage: outer, rows }: EngineCaseSettings, hasLedger: boolean) {
  const stage = new Stage();
  outer.atEnd(() => stage.end());
  const suffix = name.replaceAll(/[^a-z0-9]/g, "_");
  const table = `${database.schema}.voucher_${suffix}`;
  const ledgerSchema = `${database.schema}_${suffix}`;
  await createVoucherTable(database.pool, table, rows);
  if (hasLedger) await migrateLedger(stage, database, ledgerSchema);
  return { stage, table, ledgerSchema };
}

/** One process that claims a row for one user after another, so many at a time. */
export function claimerCase(settings: EngineCaseSettings, by: ClaimerSettings["by"]): BenchCase {
  return { name: settings.name, open: () => openClaimerCase(settings, by) };
}

async function openClaimerCase(settings: EngineCaseSettings, by: ClaimerSettings["by"]): Promise<OpenCase> {
  const { database, concurrency, pairs } = settings;
  const { stage, table, ledgerSchema } = await openCaseTables(settings, by === "engine");
  const claimer = Child.start<ClaimerCalls>(stage, "claims/engine/claimer.ts");
  await claimer.ask("begin", { by, databaseUrl: database.url, table, ledgerSchema, concurrency });

  let users = 0;
  return {
    async round() {
      const round = await claimer.ask("claim", { firstUser: users + 1, users: pairs });
      users += pairs;
      return round;
    },
    async verify() {
      await assertOneRowEach(database.pool, table, users);
      if (by === "engine") await assertLedgerAgrees(database.pool, table, ledgerSchema);
    },
    async close() {
      await claimer.ask("close", undefined);
      await stage.end();
    },
  };
}
