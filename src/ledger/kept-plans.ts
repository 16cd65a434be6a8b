import type { Connection, Query, QueryAnswer } from "./database.ts";
import { sqlState } from "./database-errors.ts";

/** A plan is made anew after so many statements of its connection, and each time twice as many, up to the second of these. */
const FIRST_PLANS = 8;
const MAX_PLANS = 1_024;

/** The name is unknown, or somebody else's: a pooler leads the statements of one client to many connections of the server. */
const NAME_LOST = ["26000", "42P05"];
/** Among others: the columns of a kept plan's answer have changed, since the table was altered. */
const PLAN_OUTLIVED = "0A000";

/** What came of a statement, and whether its connection can still keep plans. */
export interface KeptAnswer {
  readonly answer: QueryAnswer;
  readonly isSound: boolean;
}

/**
 * Runs statements by name, so that a connection parses and plans each only once: planning a claim takes longer than a claim.
 * A plan is made for the tables as they are, and a table that is small for the planner is read as a whole: so plans are dropped now
 * and then, more often on a young connection. The server drops them itself when it gathers statistics, but that can be a minute late.
 * Behind a pooler that keeps no names statements go without, from the first one that is refused; nothing of a refused one has happened.
 * Source: PostgreSQL manual, PREPARE, "Notes"; DISCARD.
 */
export class KeptPlans {
  readonly #runs = new WeakMap<Connection, number>();
  #isPossible = true;

  async query(connection: Connection, query: Query): Promise<KeptAnswer> {
    const { name, ...nameless } = query;
    if (name === undefined || !this.#isPossible) return { answer: await connection.query(nameless), isSound: true };
    try {
      if (this.#isTimeToPlan(connection)) await connection.query({ ...nameless, text: "discard plans", values: [] });
      return { answer: await connection.query(query), isSound: true };
    } catch (error) {
      const state = sqlState(error);
      if (state === undefined || ![...NAME_LOST, PLAN_OUTLIVED].includes(state)) throw error;
      if (NAME_LOST.includes(state)) this.#isPossible = false;
      return { answer: await connection.query(nameless), isSound: false };
    }
  }

  #isTimeToPlan(connection: Connection): boolean {
    const runs = (this.#runs.get(connection) ?? 0) + 1;
    this.#runs.set(connection, runs);
    const isPowerOfTwo = (runs & (runs - 1)) === 0;
    return runs >= MAX_PLANS ? runs % MAX_PLANS === 0 : runs >= FIRST_PLANS && isPowerOfTwo;
  }
}
