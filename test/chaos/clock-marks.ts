import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { monotonicMs } from "./history-log.ts";

const EVERY_MS = 100;
/** Marks this close together are of one stretch in which the clock did not jump. */
const STEP_MS = 50;

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
    // A slow answer says little of when the clock was read.
    if (afterMs - beforeMs > STEP_MS) return;
    const gapMs = databaseMs - (beforeMs + afterMs) / 2;
    const last = this.#stretches.at(-1);
    const errorMs = (afterMs - beforeMs) / 2;
    if (last === undefined || Math.abs(last.gapMs - gapMs) >= STEP_MS) {
      this.#stretches.push({ gapMs, errorMs, fromMs: beforeMs, untilMs: afterMs });
      return;
    }
    last.untilMs = afterMs;
    if (errorMs < last.errorMs) Object.assign(last, { gapMs, errorMs });
  }

  /** The monotonic time of an instant that the database wrote down. */
  monotonicOf(databaseMs: number): number {
    const candidates = this.#stretches.map(({ gapMs, fromMs, untilMs }) => {
      const atMs = databaseMs - gapMs;
      return { atMs, offMs: Math.max(0, fromMs - atMs, atMs - untilMs) };
    });
    const [best] = candidates.sort((one, other) => one.offMs - other.offMs);
    if (best === undefined) throw new Error("the database's clock was never read");
    return best.atMs;
  }
}
