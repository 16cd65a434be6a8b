import type { FanOutProgress } from "../../fanout/fan-out-options.ts";
import { Progress, type ProgressStream } from "../progress.ts";

/** Of what is piped to a file. */
const LINE_EVERY_MS = 3_000;
const BAR_WIDTH = 20;
/** Earlier, the speed is that of the first chunk alone. */
const MIN_MEASURED_MS = 500;

interface Position {
  readonly progress: FanOutProgress;
  readonly bytes: number;
  readonly atMs: number;
}

/** Shows how far an import is: rows, speed, what is left, and what was rejected. */
export class ImportProgress {
  readonly #progress: Progress;
  readonly #isTerminal: boolean;
  readonly #size: number;
  /** Of this run: rows of earlier runs are passed over at another speed. */
  #start: Position | undefined;

  constructor(stream: ProgressStream, size: number) {
    this.#progress = new Progress(stream, LINE_EVERY_MS);
    this.#isTerminal = stream.isTTY ?? false;
    this.#size = size;
  }

  note(text: string): void {
    this.#progress.note(text);
  }

  update(progress: FanOutProgress, bytes: number, atMs = performance.now()): void {
    this.#start ??= { progress, bytes, atMs };
    const share = this.#size === 0 ? 1 : Math.min(1, bytes / this.#size);
    const bar = this.#isTerminal ? `[${"#".repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, "-")}] ` : "";
    this.#progress.update(`${bar}${(share * 100).toFixed(0)} % read, ${this.#describe({ progress, bytes, atMs })}`);
  }

  clear(): void {
    this.#progress.clear();
  }

  #describe({ progress, bytes, atMs }: Position): string {
    const start = this.#start ?? { progress, bytes, atMs };
    const elapsedMs = atMs - start.atMs;
    const parts = [`${count(progress.rows)} rows`];
    if (elapsedMs >= MIN_MEASURED_MS) {
      parts.push(`${count(Math.round(((progress.rows - start.progress.rows) * 1_000) / elapsedMs))} rows/s`);
      const bytesPerMs = (bytes - start.bytes) / elapsedMs;
      if (bytesPerMs > 0) parts.push(`${duration((this.#size - bytes) / bytesPerMs)} left`);
    }
    parts.push(`${count(progress.rejected)} rejected`);
    if (progress.duplicated > 0) parts.push(`${count(progress.duplicated)} duplicated`);
    if (progress.isHeldUp) parts.push("waiting for the queue to empty");
    return parts.join(", ");
  }
}

export function count(number: number): string {
  return number.toLocaleString("en-US");
}

/** `8 s`, `2 min 05 s`, `1 h 02 min`. */
export function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3_600)} h ${String(Math.floor((seconds % 3_600) / 60)).padStart(2, "0")} min`;
}
