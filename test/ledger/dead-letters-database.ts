import type pg from "pg";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { Database } from "../../src/ledger/database.ts";
import type { DeadLetters } from "../../src/ledger/dead-letters.ts";
import { postgresDeadLetters } from "../../src/ledger/postgres-dead-letters.ts";
import type { DeadLetterSnapshot } from "../conformance/dead-letters-conformance.ts";

/** The dead letters over connections of a test, such as another process has. */
export function deadLettersOver(
  database: Database,
  options: { readonly schema?: string; readonly statementTimeoutMs?: number } = {},
): DeadLetters {
  return postgresDeadLetters({ database, clock: systemClock, schema: "exclaim", ...options });
}

/** Every record of a schema, oldest first. */
export async function recordsIn(sql: pg.Pool, schema = "exclaim"): Promise<DeadLetterSnapshot[]> {
  const { rows } = await sql.query(`select queue, message_id as "messageId", pool, resource, claimant, code, reason, times,
    extract(epoch from first_at)::float8 * 1000 as "firstAtMs", extract(epoch from last_at)::float8 * 1000 as "lastAtMs"
    from ${schema}.dead_letters order by id`);
  return rows;
}

/** Begins a transaction that holds rows until `commit`, or the end of the test. */
export async function holding(sql: pg.Pool, statement: string): Promise<{ commit(): Promise<void> }> {
  const keeper = await sql.connect();
  let isOver = false;
  const end = async (how: "commit" | "rollback"): Promise<void> => {
    if (isOver) return;
    isOver = true;
    await keeper.query(how);
    keeper.release();
  };
  onTestFinished(() => end("rollback"));
  await keeper.query("begin");
  await keeper.query(statement);
  return { commit: () => end("commit") };
}
