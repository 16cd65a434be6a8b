import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { HistoryEvent, Stamp } from "../checker/history.ts";

/** An event before it is stamped. */
export type Unstamped = HistoryEvent extends infer E ? (E extends HistoryEvent ? Omit<E, keyof Stamp> : never) : never;

/** Milliseconds of CLOCK_MONOTONIC, which all processes of one kernel share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A file of one process: each event is a line, written whole before `write` returns, so that a kill loses none. */
export class HistoryLog {
  readonly by: string;
  readonly #file: number;
  #isClosed = false;

  constructor(file: string, by: string) {
    this.by = by;
    this.#file = openSync(file, "a");
  }

  /** `at`: of an event that was seen a moment ago. @default now. What is seen after `close` belongs to no history. */
  write(event: Unstamped, at = monotonicMs()): void {
    if (this.#isClosed) return;
    writeSync(this.#file, `${JSON.stringify({ at, by: this.by, ...event })}\n`);
  }

  close(): void {
    this.#isClosed = true;
    closeSync(this.#file);
  }
}

/** What one process wrote down. A last line that was cut off by a kill is left out. */
export function readLog(file: string): HistoryEvent[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line) as HistoryEvent);
}
