import type pg from "pg";
import { onTestFinished } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { LedgerDatabase } from "./ledger-database.ts";

/** For `connections` of `openLedger`: statements of these sessions stop at that gate while it is closed. */
export function pausingAt(gate = 1): { options: string } {
  return { options: `-c exclaim_test.gate=${gate}` };
}

/**
 * Stops a statement between its snapshot and its locks, so that a race is made rather than waited for.
 * Shape: `gate(anything)` in a pool's `where`, or the type `gated_bigint` for a column, both true for all but pausing sessions.
 */
export async function createGate(database: LedgerDatabase): Promise<void> {
  await database.sql.query(`create function gate(anyelement) returns boolean language plpgsql volatile as $$
    declare own bigint := nullif(current_setting('exclaim_test.gate', true), '');
    begin
      if own is not null then
        perform pg_advisory_lock_shared(own);
        perform pg_advisory_unlock_shared(own);
      end if;
      return true;
    end $$`);
  await database.sql.query("create domain gated_bigint as bigint check (gate(value))");
}

/** Closes a gate until `open` is called or the test is finished. */
export async function closeGate(
  database: LedgerDatabase,
  gate = 1,
): Promise<{ isWaitedAt(count?: number): Promise<void>; open(): Promise<void> }> {
  const keeper: pg.PoolClient = await database.sql.connect();
  await keeper.query(`select pg_advisory_lock(${gate})`);
  let isClosed = true;
  const open = async (): Promise<void> => {
    if (!isClosed) return;
    isClosed = false;
    await keeper.query(`select pg_advisory_unlock(${gate})`);
    keeper.release();
  };
  onTestFinished(open);
  return {
    open,
    isWaitedAt: (count = 1) =>
      eventually(
        async () => {
          const [waiting] = await database.column(
            `select count(*)::int from pg_locks l join pg_database d on d.oid = l.database
             where l.locktype = 'advisory' and l.objid = ${gate} and not l.granted and d.datname = current_database()`,
          );
          return waiting === count;
        },
        { what: `${count} statements at the gate` },
      ).then(() => {}),
  };
}
