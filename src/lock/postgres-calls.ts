import type { Clock } from "../clock.ts";
import {
  isRecoverable,
  NoAnswer,
  type PostgresConnection,
  type PostgresPool,
  type PostgresQuery,
  sqlState,
} from "./postgres-pool.ts";
import { TimeLimit } from "./postgres-time-limit.ts";

/** How long a connection is kept for an answer that nobody waits for any more. */
const LATE_ANSWER_LIMIT_MS = 30_000;

/** The longest that a timer can be; 0 would leave the limit of the pool's options in place. */
const NO_LIMIT_MS = 2_147_483_647;

/** The server made this one fail so that another could go on, and undid it: serialization, deadlock. */
const TRY_AGAIN = ["40001", "40P01"];

export interface Call {
  /** The rows. Rejects with NoAnswer in time, or with what the driver said. */
  readonly answer: Promise<unknown[]>;
  /** Resolves once the server works on it no more: what comes late has come, or is given up for good. Never rejects. */
  readonly over: Promise<unknown>;
}

/** Single statements over the caller's pool, each with an end, whatever the driver's own options are. */
export class PostgresCalls {
  readonly #pool: PostgresPool;
  readonly #clock: Clock;

  constructor(pool: PostgresPool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** Runs one statement on a connection of its own. */
  call(query: PostgresQuery, limit: TimeLimit): Call {
    const rest: Promise<unknown>[] = [];
    const answer = this.#run(query, limit, (connection, answering) => {
      rest.push(this.#awaitLate(connection, answering));
      void this.#cancel(connection, query, new TimeLimit(this.#clock, limit.timeoutMs)).catch(ignore);
    });
    return { answer, over: answer.then(ignore, ignore).then(() => Promise.all(rest)) };
  }

  async #run(query: PostgresQuery, limit: TimeLimit, leave: Leave): Promise<unknown[]> {
    for (;;) {
      const connection = await checkOutIdle(this.#pool, limit);
      const answering = ask(connection, query);
      try {
        const { rows } = await limit.wait(answering);
        giveBack(connection, true);
        return rows;
      } catch (error) {
        if (error instanceof NoAnswer) leave(connection, answering);
        else giveBack(connection, isRecoverable(error));
        if (limit.isOver || !TRY_AGAIN.includes(sqlState(error) ?? "")) throw error;
      }
    }
  }

  /** Closing the connection would not take back what the server has of it: it may still run that, at any later time. */
  #awaitLate(connection: PostgresConnection, answering: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      let isOver = false;
      const end = (isSound: boolean) => {
        if (isOver) return;
        isOver = true;
        cancel();
        giveBack(connection, isSound);
        resolve();
      };
      const cancel = this.#clock.after(LATE_ANSWER_LIMIT_MS, () => end(false));
      answering.then(
        () => end(true),
        (error) => end(isRecoverable(error)),
      );
    });
  }

  /**
   * Behind somebody's lock on the table a statement would wait on, with a connection of the pool. Asked once, by the text too, since
   * the number may be another's by now; a pooler's number is nobody's.
   */
  async #cancel({ processID }: PostgresConnection, { text }: PostgresQuery, limit: TimeLimit): Promise<void> {
    if (processID === undefined || processID === null) return;
    const cancelling = "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and state = 'active' and query = $2";
    await this.#run({ text: cancelling, values: [processID, text] }, limit, (connection) => giveBack(connection, false));
  }
}

/** Takes over a connection on which a statement is still under way. */
type Leave = (connection: PostgresConnection, answering: Promise<unknown>) => void;

/** A connection on which nothing is under way: what is written in a transaction that somebody left open is never committed. */
export async function checkOutIdle(pool: PostgresPool, limit: TimeLimit): Promise<PostgresConnection> {
  for (;;) {
    const connection = await checkOut(pool, limit);
    if ((connection.getTransactionStatus?.() ?? "I") === "I") return connection;
    giveBack(connection, false);
  }
}

/** One that comes after the time limit goes back at once. */
function checkOut(pool: PostgresPool, limit: TimeLimit): Promise<PostgresConnection> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const cancel = limit.after(() => {
      isLate = true;
      reject(limit.noAnswer("no connection (all of the pool are in use, or the server is silent)"));
    });
    pool.connect((error, connection) => {
      cancel();
      if (connection === undefined || error) reject(error ?? new Error("the pool gave no connection"));
      else if (isLate) connection.release();
      else {
        connection.on("error", ignore);
        resolve(connection);
      }
    });
  });
}

/** Back to its pool, or closed when it may still answer what nobody waits for. */
export function giveBack(connection: PostgresConnection, isSound: boolean): void {
  connection.removeListener("error", ignore);
  connection.release(!isSound);
}

/** The driver's own limit is lifted: it would end a statement for us and leave it running on the server. One that throws rejects. */
export async function ask(connection: PostgresConnection, query: PostgresQuery): Promise<{ readonly rows: unknown[] }> {
  return connection.query({ ...query, query_timeout: NO_LIMIT_MS });
}

/**
 * A checked-out client that loses its connection emits `error`, and an `error` nobody listens to ends the process. What matters of
 * it reaches us by the statement that fails.
 */
function ignore(): void {}
