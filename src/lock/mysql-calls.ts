import type { Clock } from "../clock.ts";
import { isRecoverable, type MysqlConnection, type MysqlPool, NoAnswer, serverErrno } from "./mysql-pool.ts";
import type { TimeLimit } from "./mysql-time-limit.ts";

/** How long a connection is kept for an answer that nobody waits for any more. */
const LATE_ANSWER_LIMIT_MS = 30_000;

/** The server made this one fail so that another could go on, and undid it: deadlock, lock wait, a row that changed since it was read. */
const TRY_AGAIN = [1213, 1205, 1020];

const SERVER_STATUS_IN_TRANS = 1;

/** What a statement that writes came to. */
export interface Outcome {
  readonly affectedRows: number;
  /** What the statement gave to last_insert_id(), or 0. */
  readonly insertId: number;
}

export interface Call {
  /** Rejects with NoAnswer in time, or with what the driver said. */
  readonly answer: Promise<Outcome>;
  /** Resolves once the server works on it no more: what comes late has come, or is given up for good. Never rejects. */
  readonly over: Promise<unknown>;
}

/** Single statements that write, over the caller's pool, each with an end, whatever the driver's own options are. */
export class MysqlCalls {
  readonly #pool: MysqlPool;
  readonly #clock: Clock;

  constructor(pool: MysqlPool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** Runs one statement on a connection of its own. After: it is committed. */
  call(sql: string, limit: TimeLimit): Call {
    const rest: Promise<unknown>[] = [];
    const answer = this.#run(sql, limit, (connection, writing) => rest.push(this.#awaitLate(connection, writing)));
    return { answer, over: answer.then(ignore, ignore).then(() => Promise.all(rest)) };
  }

  async #run(sql: string, limit: TimeLimit, leave: Leave): Promise<Outcome> {
    for (;;) {
      const connection = await checkOut(this.#pool, limit);
      const writing = write(connection, sql);
      try {
        const outcome = await limit.wait(writing);
        giveBack(connection, true);
        return outcome;
      } catch (error) {
        if (error instanceof NoAnswer) leave(connection, writing);
        else giveBack(connection, isRecoverable(error));
        if (limit.isOver || !TRY_AGAIN.includes(serverErrno(error) ?? 0)) throw error;
      }
    }
  }

  /** Closing the connection would not take back what the server has of it: it may still run that, at any later time. */
  #awaitLate(connection: MysqlConnection, writing: Promise<unknown>): Promise<void> {
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
      writing.then(
        () => end(true),
        (error) => end(isRecoverable(error)),
      );
    });
  }
}

/** Takes over a connection on which a statement is still under way. */
type Leave = (connection: MysqlConnection, writing: Promise<unknown>) => void;

/**
 * Runs a statement so that it is committed. A statement that finds itself in a transaction was either written into one that somebody
 * left open, and goes with it; or the session does not commit by itself, and is told to.
 */
async function write(connection: MysqlConnection, sql: string): Promise<Outcome> {
  const first = await run(connection, sql);
  if (!first.isInTransaction) return first;
  await run(connection, "rollback");
  const second = await run(connection, sql);
  if (second.isInTransaction) await run(connection, "commit");
  return second;
}

async function run(connection: MysqlConnection, sql: string): Promise<Outcome & { readonly isInTransaction: boolean }> {
  const [answer] = await connection.query({ sql });
  const { affectedRows, insertId, serverStatus } = answer as Record<"affectedRows" | "insertId" | "serverStatus", unknown>;
  const isInTransaction = (Number(serverStatus) & SERVER_STATUS_IN_TRANS) !== 0;
  return { affectedRows: Number(affectedRows), insertId: Number(insertId), isInTransaction };
}

/** A connection of the pool. One that comes after the time limit goes back at once. */
export async function checkOut(pool: MysqlPool, limit: TimeLimit): Promise<MysqlConnection> {
  let isLate = false;
  const opening = pool.getConnection().then((connection) => {
    if (isLate) connection.release();
    else connection.on("error", ignore);
    return connection;
  });
  return limit.wait(opening).catch((error: unknown) => {
    isLate = true;
    throw error instanceof NoAnswer
      ? limit.noAnswer("no connection (all of the pool are in use, or the server is silent)")
      : error;
  });
}

/** Back to its pool, or closed when it may still answer what nobody waits for. */
export function giveBack(connection: MysqlConnection, isSound: boolean): void {
  connection.removeListener("error", ignore);
  if (isSound) connection.release();
  else connection.destroy();
}

/** A connection that is lost emits `error`, which ends the process where nobody listens. What matters of it reaches us otherwise. */
function ignore(): void {}
