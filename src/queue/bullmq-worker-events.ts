import type { BullmqJob } from "./bullmq-options.ts";
import type { RunningClaims } from "./bullmq-running.ts";
import { type BullmqWorker, reportTo } from "./bullmq-worker.ts";
import { messageOf } from "./message-of.ts";

/**
 * What a processor learns only from its Worker's events: that a job lock was lost, and that a job has failed for good without
 * the processor having been asked (stalled too often, picked up too often).
 */
export class WorkerEvents<J extends BullmqJob> {
  readonly #giveUp: (job: J) => Promise<void>;
  readonly #running: RunningClaims;
  readonly #listening = new WeakSet<object>();
  /** Jobs whose claim is as it shall stay: the engine knew that it was the end. */
  readonly #dealtWith = new WeakSet<object>();

  /** `giveUp`: for a job that BullMQ has given up without asking. */
  constructor(giveUp: (job: J) => Promise<void>, running: RunningClaims) {
    this.#giveUp = giveUp;
    this.#running = running;
  }

  /** Listens to a worker, once. */
  listen(worker: BullmqWorker<J>): void {
    if (this.#listening.has(worker)) return;
    this.#listening.add(worker);
    worker.on("lockRenewalFailed", (jobIds) => this.#running.abortLost(worker, jobIds));
    worker.on("failed", (job) => {
      // The event comes for every failed attempt; only a job that has ended has the time of its end.
      if (job?.finishedOn === undefined || this.#dealtWith.has(job)) return;
      this.#giveUp(job).catch((error: unknown) => {
        const message = `job ${job.id} failed for good and its claim could not be given up, the row stays taken: ${messageOf(error)}`;
        reportTo(worker, message, error);
      });
    });
  }

  /** Notes that the claim of a call needs nothing more, should BullMQ not deliver the job again. */
  dealtWith(job: J): void {
    this.#dealtWith.add(job);
  }
}
