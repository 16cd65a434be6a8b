import type pg from "pg";
import type { Connection, Database, Query, QueryAnswer } from "../../ledger/database.ts";
import { databaseError, isRecoverable } from "../../ledger/database-errors.ts";

/**
 * Runs `work` over a database whose every statement is part of one transaction, which is committed only if `isGood` says so of what the
 * work came to. A statement that fails undoes itself alone: what it refused is the work's to judge.
 * After: committed, or nothing has changed. Died in between: nothing has changed. Throws what `work` throws; what `databaseError` says of
 * a commit that failed.
 */
export async function oneTransaction<T>(
  pool: pg.Pool,
  work: (database: Database) => Promise<T>,
  isGood: (result: T) => boolean,
): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error, "a transaction could not be begun");
  });
  // What matters of a connection that breaks is told by the statement that fails.
  client.on("error", ignore);
  const state = { isSound: true };
  try {
    await client.query("begin");
    const result = await work(databaseOf(client, state));
    await endTransaction(client, isGood(result));
    return result;
  } catch (error) {
    await (state.isSound ? client.query("rollback").catch(() => broken(state)) : undefined);
    throw error;
  } finally {
    client.removeListener("error", ignore);
    client.release(!state.isSound);
  }
}

async function endTransaction(client: pg.PoolClient, isGood: boolean): Promise<void> {
  try {
    await client.query(isGood ? "commit" : "rollback");
  } catch (error) {
    throw databaseError(error, "a transaction could not be ended");
  }
}

function databaseOf(client: pg.PoolClient, state: { isSound: boolean }): Database {
  // No number of the connection: there is none beside it to cancel its statement from, and closing it undoes the transaction.
  const connection: Connection = {
    query: (query) => guarded(client, query, state),
    release: () => {},
    on: () => {},
    removeListener: () => {},
  };
  return { connect: (checkedOut) => checkedOut(undefined, connection) };
}

async function guarded(client: pg.PoolClient, query: Query, state: { isSound: boolean }): Promise<QueryAnswer> {
  await client.query("savepoint statement");
  try {
    const answer = await client.query(query);
    await client.query("release savepoint statement");
    return answer;
  } catch (error) {
    // Whoever did not answer this one would let the next wait as long.
    if (isRecoverable(error)) await client.query("rollback to savepoint statement");
    else broken(state);
    throw error;
  }
}

function broken(state: { isSound: boolean }): void {
  state.isSound = false;
}

function ignore(): void {}
