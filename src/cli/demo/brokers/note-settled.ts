import type pg from "pg";
import type { Pool } from "../../../index.ts";

/**
 * RabbitMQ forgets a message that was acknowledged. So whoever consumes writes down what became of it, right before the broker is told:
 * a message whose acknowledgement was lost is delivered, and written down, again.
 */

/** What is used of the database: it finds the variant's tables in its search path. */
export type NoteBook = Pick<pg.Pool, "query">;

export async function noteSettled(
  database: NoteBook,
  messageId: string | undefined,
  as: "completed" | "failed",
): Promise<void> {
  await database.query("update message set settled_as = $1 where message_id = $2", [as, messageId]);
}

/** The pool, for an adapter that tells the broker once the pool's promise has resolved. */
export function notingPool<R extends object>(pool: Pool<R>, database: NoteBook): Pool<R> {
  return {
    name: pool.name,
    async claim(request, handler) {
      const outcome = await pool.claim(request, handler);
      const isSettled = outcome.status === "completed" || outcome.status === "replayed";
      if (isSettled) await noteSettled(database, request.messageId, "completed");
      return outcome;
    },
    giveUp: (request) => pool.giveUp(request),
    async noteDeadLetter(letter) {
      await pool.noteDeadLetter(letter);
      await noteSettled(database, letter.messageId, "failed");
    },
    accountRow: (note) => pool.accountRow(note),
    jitter: () => pool.jitter(),
  };
}
