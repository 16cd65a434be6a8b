import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { monotonicMs } from "./history-log.ts";

const EVERY_MS = 100;
/** Where the clock is known no better than this, too little is known of what came first. */
export const CLOCK_ERROR_LIMIT_MS = 20;
/** An answer that takes longer says little of when the clock was read. */
const SLOW_MS = 50;
/** Marks that contradict each other by no more than this are of one stretch in which the clock did not jump. */
const SLACK_MS = 1;
/** So far outside of all that was marked nobody knows where the clock stood. */
const UNMARKED_MS = 5_000;

/** A stretch of CLOCK_MONOTONIC during which the database's clock was this far from it. */
interface Stretch {
  /** As the fastest answer told it. */
  gapMs: number;
  errorMs: number;
  readonly fromMs: number;
  untilMs: number;
}

/** Where the database's clock stood all along, since faults make it jump: what its triggers wrote down is told by ours. */
export class ClockMarks {
  readonly #database: pg.Pool;
  readonly #stretches: Stretch[] = [];
  readonly #used = new Set<Stretch>();

  constructor(database: pg.Pool) {
    this.#database = database;
  }

  /** Looks at the clock until `signal` aborts. Never throws: a database that is away has no clock. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch(() => {});
      await delay(EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  async look(): Promise<void> {
    const beforeMs = monotonicMs();
    const { rows } = await this.#database.query("select extract(epoch from clock_timestamp())::float8 * 1000 as ms");
    this.mark(beforeMs, monotonicMs(), rows[0].ms);
  }

  /** The database said `databaseMs` at some moment between the two. */
  mark(beforeMs: number, afterMs: number, databaseMs: number): void {
    if (afterMs - beforeMs > SLOW_MS) return;
    const gapMs = databaseMs - (beforeMs + afterMs) / 2;
    const last = this.#stretches.at(-1);
    const errorMs = (afterMs - beforeMs) / 2;
    if (last === undefined || Math.abs(last.gapMs - gapMs) > last.errorMs + errorMs + SLACK_MS) {
      this.#stretches.push({ gapMs, errorMs, fromMs: beforeMs, untilMs: afterMs });
      return;
    }
    last.untilMs = afterMs;
    if (errorMs < last.errorMs) Object.assign(last, { gapMs, errorMs });
  }

  /** How far a time that was told may be off, at most. */
  get errorMs(): number {
    return Math.max(0, ...[...this.#used].map(({ errorMs }) => errorMs));
  }

  /** The monotonic time of an instant that the database wrote down. NaN where nobody looked at its clock. */
  monotonicOf(databaseMs: number): number {
    const candidates = this.#stretches.map((stretch) => {
      const atMs = databaseMs - stretch.gapMs;
      return { stretch, atMs, offMs: Math.max(0, stretch.fromMs - atMs, atMs - stretch.untilMs) };
    });
    const [best] = candidates.sort((one, other) => one.offMs - other.offMs);
    if (best === undefined || best.offMs > UNMARKED_MS) return Number.NaN;
    this.#used.add(best.stretch);
    return best.atMs;
  }
}
