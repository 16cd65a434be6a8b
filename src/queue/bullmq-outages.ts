import { isExclaimError } from "../errors.ts";
import { messageOf } from "./bullmq-control-errors.ts";
import { type BullmqWorker, reportTo } from "./bullmq-worker.ts";

/**
 * Tells of servers that are away. Their jobs are only put off, with nothing to see in the queue but delayed jobs, so the Worker's
 * `error` event says why: once for each kind of error, and again once jobs have been served in between.
 */
export class Outages {
  readonly #told = new Set<string>();

  tell<J>(worker: BullmqWorker<J> | undefined, error: unknown): void {
    const kind = isExclaimError(error) ? error.code : messageOf(error);
    if (this.#told.has(kind)) return;
    this.#told.add(kind);
    reportTo(worker, `jobs are put off: ${messageOf(error)}`, error);
  }

  over(): void {
    this.#told.clear();
  }
}
