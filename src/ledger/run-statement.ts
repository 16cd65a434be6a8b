import type { Clock } from "../clock.ts";
import type { Connection, Database, Query, QueryAnswer } from "./database.ts";
import { isRecoverable } from "./database-errors.ts";
import { KeptPlans } from "./kept-plans.ts";

/** The user's pool of connections, with time limits of our own. */
export interface Statements {
  /** Runs one statement on a connection of its own, within the time limit unless it brings one. */
  run(query: Query): Promise<QueryAnswer>;
  /** Checks a connection out. The caller gives it back by `giveBack`. */
  connect(): Promise<Connection>;
  /** The time limit of one statement in ms. */
  readonly timeoutMs: number;
}

/**
 * Gives every call an end: waiting for a connection of an exhausted pool or of a frozen server ends after `timeoutMs`, and so does
 * a statement. A connection that failed is closed rather than pooled, so that a late answer never meets the next statement.
 */
export function statements(database: Database, clock: Clock, timeoutMs: number): Statements {
  const plans = new KeptPlans(clock);
  return { run: (query) => run(query), connect, timeoutMs };

  async function run(query: Query, onTimeout = cancelOnServer): Promise<QueryAnswer> {
    const connection = await connect();
    try {
      const { answer, isSound } = await plans.query(connection, { query_timeout: timeoutMs, ...query });
      giveBack(connection, isSound);
      return answer;
    } catch (error) {
      giveBack(connection, isRecoverable(error));
      if (isTimeout(error)) void onTimeout(connection, query);
      throw error;
    }
  }

  function connect(): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let late = false;
      const cancel = clock.after(
        timeoutMs,
        () => {
          late = true;
          reject(
            new Error(`no connection within ${timeoutMs} ms: the pool of connections is exhausted or the server is silent`),
          );
        },
        true,
      );
      database.connect((error, connection) => {
        cancel();
        if (connection === undefined || error) reject(error ?? new Error("the pool gave no connection"));
        else if (late) connection.release();
        else {
          connection.on("error", ignore);
          resolve(connection);
        }
      });
    });
  }

  /**
   * We gave up waiting, the server did not: left alone, the statement would hold a server connection, and commit, long after. Asked
   * once, by its text too, since the number may be another's by now; a pooler's number is nobody's.
   */
  async function cancelOnServer(connection: Connection, query: Query): Promise<void> {
    if (connection.processID === undefined || connection.processID === null) return;
    const text = "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and left(query, 200) = left($2, 200)";
    await run({ text, values: [connection.processID, query.text] }, async () => {}).catch(() => {});
  }
}

/** Back to its pool, or closed when it may still answer what nobody waits for. */
export function giveBack(connection: Connection, isSound: boolean): void {
  connection.removeListener("error", ignore);
  connection.release(!isSound);
}

/**
 * A checked-out client that loses its connection emits `error`, and an `error` nobody listens to ends the process. What matters of
 * it reaches us by the statement that fails.
 */
function ignore(): void {}

/** Source: node-postgres, `Client.query`, the error of `query_timeout`. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Query read timeout";
}
