import { createExclaim } from "exclaim";
import type { BenchSchema, Stage } from "../stage.ts";

/** Makes a ledger of a case's own, so that no case finds the claims of another in its tables. It is dropped with the stage. */
export async function migrateLedger(stage: Stage, database: BenchSchema, ledgerSchema: string): Promise<void> {
  stage.atEnd(() => database.pool.query(`drop schema if exists ${ledgerSchema} cascade`));
  const exclaim = createExclaim({ database: database.pool, schema: ledgerSchema });
  try {
    await exclaim.migrate();
  } finally {
    await exclaim.close();
  }
}
