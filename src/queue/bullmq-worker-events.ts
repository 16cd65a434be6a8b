import { ExclaimError, isExclaimError } from "../errors.ts";
import type { BullmqJob } from "./bullmq-options.ts";
import type { RunningClaims } from "./bullmq-running.ts";
import { type BullmqWorker, reportTo } from "./bullmq-worker.ts";
import { messageOf } from "./message-of.ts";

const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;
const PATIENCE_MS = 600_000;

/** What is done about a job that BullMQ has given up without asking. */
export interface JobEnds<J> {
  /** Ends its claim. */
  giveUp(job: J): Promise<void>;
  /** Tells its import, if it is of one, that it got no row. `error`: why. */
  account(job: J, error: unknown): Promise<void>;
}

/** What the processor has seen to, should this be the end of its job. */
export interface ServedJob {
  /** The claim is as it shall stay: the engine knew that it was the end. */
  readonly isDealtWith: boolean;
  /** The job's import knows what became of its row. */
  readonly isAccounted: boolean;
}

/**
 * What a processor learns only from its Worker's events: that a job lock was lost, and that a job has failed for good without
 * the processor having been asked (stalled too often, picked up too often).
 */
export class WorkerEvents<J extends BullmqJob> {
  readonly #ends: JobEnds<J>;
  readonly #running: RunningClaims;
  readonly #listening = new WeakSet<object>();
  readonly #served = new WeakMap<object, ServedJob>();

  constructor(ends: JobEnds<J>, running: RunningClaims) {
    this.#ends = ends;
    this.#running = running;
  }

  /** Listens to a worker, once. */
  listen(worker: BullmqWorker<J>): void {
    if (this.#listening.has(worker)) return;
    this.#listening.add(worker);
    worker.on("lockRenewalFailed", (jobIds) => this.#running.abortLost(worker, jobIds));
    worker.on("failed", (job, error) => {
      // The event comes for every failed attempt; only a job that has ended has the time of its end.
      if (job?.finishedOn !== undefined) this.#ended(worker, job, error);
    });
  }

  /** Notes what the processor has seen to, should BullMQ not deliver the job again. */
  served(job: J, served: ServedJob): void {
    this.#served.set(job, served);
  }

  #ended(worker: BullmqWorker<J>, job: J, error: unknown): void {
    const served = this.#served.get(job);
    const tell = (what: string) => (fault: unknown) => {
      reportTo(worker, `job ${job.id} failed for good and ${what}: ${messageOf(fault)}`, fault);
    };
    if (served?.isDealtWith !== true) {
      this.#ends.giveUp(job).catch(tell("its claim could not be given up, the row stays taken"));
    }
    if (served?.isAccounted !== true) {
      const why = served === undefined ? new ExclaimError("ABORTED", `BullMQ gave the job up: ${messageOf(error)}`) : error;
      const late = tell("its import could not be told yet, the row is pending there");
      untilReached(() => this.#ends.account(job, why), late).catch(
        tell("its import could not be told, the row stays pending there"),
      );
    }
  }
}

/** No delivery will tell it again: while the database is away, this process does, as long as it lives and for ten minutes at most. */
async function untilReached(call: () => Promise<void>, onLate: (error: unknown) => void): Promise<void> {
  let delayMs = FIRST_DELAY_MS;
  for (const giveUpAt = performance.now() + PATIENCE_MS; ; delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)) {
    try {
      return await call();
    } catch (error) {
      if (!isExclaimError(error, "DATABASE_UNREACHABLE") || performance.now() > giveUpAt) throw error;
      if (delayMs === FIRST_DELAY_MS) onLate(error);
    }
    await new Promise<void>((resolve) => setTimeout(resolve, delayMs).unref());
  }
}
