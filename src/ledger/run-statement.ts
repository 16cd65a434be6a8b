import type { Clock } from "../clock.ts";
import type { Connection, Database, Query, QueryAnswer } from "./database.ts";

/** The user's pool of connections, with time limits of our own. */
export interface Statements {
  /** Runs one statement on a connection of its own. */
  run(query: Query): Promise<QueryAnswer>;
  /** Checks a connection out. The caller releases it. */
  connect(): Promise<Connection>;
  /** The time limit of one statement in ms. */
  readonly timeoutMs: number;
}

/**
 * Gives every call an end: waiting for a connection of an exhausted pool or of a frozen server ends after `timeoutMs`, and so does
 * a statement. A connection that failed is closed rather than pooled, so that a late answer never meets the next statement.
 */
export function statements(database: Database, clock: Clock, timeoutMs: number): Statements {
  return { run, connect, timeoutMs };

  async function run(query: Query): Promise<QueryAnswer> {
    const connection = await connect();
    const ignored = ignoreErrors(connection);
    try {
      const answer = await connection.query({ ...query, query_timeout: timeoutMs });
      ignored.stop();
      connection.release();
      return answer;
    } catch (error) {
      ignored.stop();
      connection.release(!isConnectionSound(error));
      throw error;
    }
  }

  function connect(): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let late = false;
      const cancel = clock.after(timeoutMs, () => {
        late = true;
        reject(new Error(`no connection within ${timeoutMs} ms: the pool of connections is exhausted or the server is silent`));
      });
      database.connect().then(
        (connection) => {
          cancel();
          if (late) connection.release();
          else resolve(connection);
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });
  }
}

/**
 * A checked-out client that loses its connection emits `error`, and an `error` nobody listens to ends the process. What matters of
 * it reaches us by the statement that fails.
 */
export function ignoreErrors(connection: Connection): { stop(): void } {
  const listener = (): void => {};
  connection.on("error", listener);
  return { stop: () => connection.removeListener("error", listener) };
}

/** After an error of severity ERROR the server waits for the next statement; anything else says the connection is gone. */
export function isConnectionSound(error: unknown): boolean {
  return typeof error === "object" && error !== null && "severity" in error && error.severity === "ERROR";
}
