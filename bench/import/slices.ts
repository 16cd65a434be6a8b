import { monitorEventLoopDelay } from "node:perf_hooks";

const SAMPLE_MS = 2;
const MB = 1_048_576;

export interface SliceReport {
  readonly rows: number;
  readonly ms: number;
  readonly rssMb: number;
  readonly peakRssMb: number;
  /** The longest that the event loop kept a timer waiting. */
  readonly maxLoopDelayMs: number;
}

/** Lets an import go on up to a row and no further, and measures it meanwhile. */
export class Slices {
  readonly #delays = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  #allowed = 0;
  #open: () => void = () => {};
  #done: () => void = () => {};
  #reached = 0;
  #peakRss = 0;

  /** Holds the rows behind the current slice back. */
  async *gate<R>(rows: AsyncIterable<R>): AsyncGenerator<R> {
    let count = 0;
    for await (const row of rows) {
      if (count === this.#allowed) {
        await new Promise<void>((resolve) => {
          this.#open = resolve;
        });
      }
      count += 1;
      yield row;
    }
  }

  /** So many rows are with the broker. */
  reached(rows: number): void {
    this.#reached = rows;
    this.#peakRss = Math.max(this.#peakRss, process.memoryUsage.rss());
    if (rows >= this.#allowed) this.#done();
  }

  async run(until: number): Promise<SliceReport> {
    const rows = until - this.#reached;
    this.#allowed = until;
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    this.#delays.enable();
    this.#delays.reset();
    const startMs = performance.now();
    this.#open();
    await done;
    const ms = performance.now() - startMs;
    this.#delays.disable();
    return {
      rows,
      ms,
      rssMb: process.memoryUsage.rss() / MB,
      peakRssMb: this.#peakRss / MB,
      maxLoopDelayMs: Math.max(0, this.#delays.max / 1e6 - SAMPLE_MS),
    };
  }
}
