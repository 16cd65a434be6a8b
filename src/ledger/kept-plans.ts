import type { Clock } from "../clock.ts";
import type { Connection, Query, QueryAnswer } from "./database.ts";
import { sqlState } from "./database-errors.ts";

/** A plan is made anew after so many statements of its connection, and each time twice as many, up to the second of these. */
const FIRST_PLANS = 8;
const MAX_PLANS = 1_024;

/** And after a statement that took longer than this: its plan may be for a table that has grown since. */
const SLOW_MS = 50;

/** A connection keeps no more statements than these, since each takes some 400 kB of the server's memory. */
const MAX_NAMES = 40;

/** The name is unknown, or somebody else's: a pooler leads the statements of one client to many connections of the server. */
const NAME_LOST = ["26000", "42P05"];
/** After so many of those nothing is asked by name any more: the first may have come of a connection that was reset. */
const MAX_NAMES_LOST = 5;
/** Among others: the columns of a kept plan's answer have changed, since the table was altered. */
const PLAN_OUTLIVED = "0A000";

/** What came of a statement, and whether its connection can still keep plans. */
export interface KeptAnswer {
  readonly answer: QueryAnswer;
  readonly isSound: boolean;
}

interface Kept {
  readonly names: Set<string>;
  runs: number;
  /** At which of them plans are made anew. */
  planAt: number;
}

/**
 * Runs statements by name, so that a connection parses and plans each only once: planning a claim takes longer than a claim.
 * A plan is made for the tables as they are, and a table that is small for the planner is read as a whole: so plans are dropped now
 * and then, more often on a young connection. The server drops them itself when it gathers statistics, but that can be a minute late.
 * Behind a pooler that keeps no names statements go without; nothing of a refused one has happened.
 * Source: PostgreSQL manual, PREPARE, "Notes"; DISCARD.
 */
export class KeptPlans {
  readonly #clock: Clock;
  readonly #kept = new WeakMap<Connection, Kept>();
  #namesLost = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async query(connection: Connection, query: Query): Promise<KeptAnswer> {
    const { name, ...nameless } = query;
    const kept = name === undefined ? undefined : this.#keptBy(connection, name);
    if (kept === undefined) return { answer: await connection.query(nameless), isSound: true };
    try {
      kept.runs += 1;
      if (kept.runs >= kept.planAt) {
        kept.planAt = kept.runs + Math.min(kept.runs, MAX_PLANS);
        await connection.query({ ...nameless, text: "discard plans", values: [] });
      }
      const startMs = this.#clock.now();
      const answer = await connection.query(query);
      if (this.#clock.now() - startMs > SLOW_MS) kept.planAt = Math.min(kept.planAt, kept.runs + FIRST_PLANS);
      return { answer, isSound: true };
    } catch (error) {
      const state = sqlState(error);
      if (state === undefined || ![...NAME_LOST, PLAN_OUTLIVED].includes(state)) throw error;
      if (NAME_LOST.includes(state)) this.#namesLost += 1;
      return { answer: await connection.query(nameless), isSound: false };
    }
  }

  /** Undefined where the statement goes without its name. */
  #keptBy(connection: Connection, name: string): Kept | undefined {
    if (this.#namesLost >= MAX_NAMES_LOST) return undefined;
    const kept = this.#kept.get(connection) ?? { names: new Set(), runs: 0, planAt: FIRST_PLANS };
    this.#kept.set(connection, kept);
    if (kept.names.has(name)) return kept;
    if (kept.names.size >= MAX_NAMES) return undefined;
    kept.names.add(name);
    return kept;
  }
}
