/**
 * `withClaim` for BullMQ: an existing `Worker`, of BullMQ 5 or 6, on Redis or on PostgreSQL, runs its handler with one claimed row.
 *
 * A job becomes a claim of a pool's row or of a resource's key (`claim-target.ts`), the outcome a disposition (`deliver-message.ts`), and the disposition
 * what BullMQ understands:
 * - complete: the result is returned
 * - retry: `job.moveToDelayed`, then an error named DelayedError; no attempt is burned
 * - fail: the error is thrown as it is; the job's own attempts and backoff apply
 * - dead-letter: an error named UnrecoverableError; the job stays in the failed set
 * What became of the row of an import that the job was made of is recorded before any of these ends the job (`message-end.ts`).
 *
 * bullmq itself is not imported: what is used of it is typed in `BullmqJob` and `BullmqWorker`.
 */
import { isOfImport } from "../claim/account-row.ts";
import type { Claim } from "../claim/claim.ts";
import { ExclaimError } from "../errors.ts";
import { outageRetry } from "../settle/decide.ts";
import type { SettlePolicy } from "../settle/policy.ts";
import { DelayedError, judge, throwable, UnrecoverableError } from "./bullmq-control-errors.ts";
import type { BullmqClaimOptions, BullmqJob, BullmqResourceOptions } from "./bullmq-options.ts";
import { jobLockLoss, RunningClaims } from "./bullmq-running.ts";
import { type BullmqWorker, isWorker, reportTo, workerOf } from "./bullmq-worker.ts";
import { WorkerEvents } from "./bullmq-worker-events.ts";
import { assertClaimOptions } from "./claim-options.ts";
import { type ClaimTarget, poolTarget, resourceTarget } from "./claim-target.ts";
import { deliverMessage } from "./deliver-message.ts";
import { endOf, givenUpEnd } from "./message-end.ts";
import { messageOf } from "./message-of.ts";
import { Outages } from "./outages.ts";

export type { BullmqClaimOptions, BullmqJob, BullmqResourceOptions, BullmqWorker };

/**
 * A job that is put off waits at least this long, whatever a rule says, so that no rule can make a hot loop. Rules should say more:
 * on BullMQ's PostgreSQL backend a job whose delay is over goes before every job that was added after it.
 */
export const MIN_DELAY_MS = 10;

/** What `withClaim` returns, to be given to `new Worker(name, processor, options)`. */
export interface ClaimProcessor<J, T> {
  (job: J, token?: string, signal?: AbortSignal): Promise<T>;
  /**
   * Listens to a worker: a lost job lock aborts the claims that run under it, and a job that BullMQ gives up without running the
   * handler (stalled too often) is given up by the pool as well, as `onGiveUp` says.
   * The first job of a worker does this by itself. Call it right after `new Worker()` if the very first job may be such a one, as
   * after a crash, or if the processor is bound to something that is not the worker.
   * After: calling it again for the same worker does nothing.
   * Died in between: a row to be released then stays with its claimant.
   * Throws CONFIG_INVALID: not a worker.
   */
  watch(worker: BullmqWorker<J>): void;
}

/**
 * Wraps the handler of a Worker so that it runs with a claimed row that is its job's own.
 * Shape: the handler first, so that job, row and result are inferred in every option; the job from the handler alone, so that an
 * option may be a function that is written elsewhere and needs less of it. The returned function has exactly three
 * parameters, by which BullMQ decides whether it gives a signal.
 * After: a job that returned has completed its claim; a duplicate of it returns the stored result.
 * Died in between: BullMQ delivers the job again as stalled, and the same row is resumed.
 * Throws CONFIG_INVALID at once when an option is wrong.
 */
export function withClaim<J extends BullmqJob = never, T = unknown, R extends object = Record<string, unknown>>(
  handler: (job: J, claim: Claim<R>) => Promise<T>,
  options: BullmqClaimOptions<NoInfer<J>, R>,
): ClaimProcessor<J, T>;
/** The same for a named resource: the handler runs while no other job works on the key. */
export function withClaim<J extends BullmqJob = never, T = unknown>(
  handler: (job: J, claim: Claim<undefined>) => Promise<T>,
  options: BullmqResourceOptions<NoInfer<J>>,
): ClaimProcessor<J, T>;
export function withClaim<J extends BullmqJob, T, R extends object>(
  handler: ((job: J, claim: Claim<R>) => Promise<T>) & ((job: J, claim: Claim<undefined>) => Promise<T>),
  options: BullmqClaimOptions<J, R> | BullmqResourceOptions<J>,
): ClaimProcessor<J, T> {
  assertClaimOptions(handler, options);
  return options.resource !== undefined
    ? claimProcessor<J, T, undefined>(handler, resourceTarget(options), options)
    : claimProcessor<J, T, R>(handler, poolTarget(options), options);
}

function claimProcessor<J extends BullmqJob, T, R>(
  handler: (job: J, claim: Claim<R>) => Promise<T>,
  target: ClaimTarget<J, R>,
  policy: SettlePolicy<J>,
): ClaimProcessor<J, T> {
  const running = new RunningClaims();
  const ends = {
    giveUp: (job: J) => target.giveUp(job, job.id),
    account: async (job: J, error: unknown) => {
      if (isOfImport(job.id)) await target.accountRow(job, job.id, givenUpEnd({ outcome: undefined }, error));
    },
  };
  const events = new WorkerEvents<J>(ends, running);
  const serving = { handler, target, policy, judge };
  const outages = new Outages("jobs");

  async function processor(this: unknown, job: J, token?: string, signal?: AbortSignal): Promise<T> {
    const worker = workerOf<J>(this);
    if (worker !== undefined) events.listen(worker);
    const run = running.begin({ jobId: job.id, token, worker }, signal);
    try {
      const delivery = deliveryOf(job, run.signal);
      const served = await deliverMessage(delivery, serving);
      const end = isOfImport(job.id) ? endOf(served, delivery.lastAttempt, judge) : undefined;
      // Before BullMQ is told, since a job that has ended comes back to nobody who could account for it. One that cannot be accounted for
      // is put off: a completed claim is replayed then, and a handler that failed runs once more.
      const fault = end === undefined ? undefined : await faultOf(target.accountRow(job, job.id ?? "", end));
      events.served(job, { isDealtWith: served.isDealtWith, isAccounted: end !== undefined && fault === undefined });
      const disposition = fault === undefined ? served.disposition : outageRetry(fault, delivery.deferrals, target.jitter());
      switch (disposition.do) {
        case "complete":
          outages.over();
          return disposition.result as T;
        case "retry": {
          const { delayMs, error } = disposition;
          if (error !== undefined) outages.tell(error, (message) => reportTo(worker, message, error));
          throw await putOff(job, token, delayMs, worker);
        }
        case "fail":
          throw disposition.error;
        case "dead-letter":
          throw new UnrecoverableError(disposition.error);
      }
    } catch (error) {
      throw throwable(error);
    } finally {
      run.end();
    }
  }

  function watch(worker: BullmqWorker<J>): void {
    if (!isWorker<J>(worker)) throw new ExclaimError("CONFIG_INVALID", "watch(worker): give it this processor's Worker");
    events.listen(worker);
  }

  return Object.assign(processor, { watch });
}

/** Why it failed; undefined when it did not. */
async function faultOf(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}

function deliveryOf<J extends BullmqJob>(job: J, signal: AbortSignal) {
  return {
    message: job,
    messageId: job.id,
    signal,
    deferrals: deferralsOf(job),
    attemptsMade: job.attemptsMade,
    lastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
    loss: () => jobLockLoss(signal),
  };
}

/** Every pickup counts as started, only a failed one as made: what is left, this one aside, was put off or stalled. */
function deferralsOf(job: BullmqJob): number {
  return Math.max(0, job.attemptsStarted - job.attemptsMade - 1);
}

/**
 * Moves the job to the delayed set and gives the error to throw.
 * The error is the same when BullMQ refuses the move (job lock lost, connection closed); another one would be taken for a failure
 * of the handler and, if it still reached the server, burn an attempt of a job with which nothing is wrong. Either the job was moved
 * and only the answer was lost; or it is still active, nobody renews its lock, and it is delivered again as stalled.
 */
async function putOff<J extends BullmqJob>(
  job: J,
  token: string | undefined,
  delayMs: number,
  worker: BullmqWorker<J> | undefined,
): Promise<Error> {
  if (token === undefined) {
    return new ExclaimError("CONFIG_INVALID", "no job token: call the processor with (job, token, signal), as a Worker does");
  }
  try {
    // BullMQ's schedule is calendar time; no expiry of ours depends on it.
    await job.moveToDelayed(Date.now() + Math.ceil(Math.max(MIN_DELAY_MS, delayMs)), token);
    return new DelayedError(`put off for ${delayMs} ms`);
  } catch (cause) {
    const message = `job ${job.id} could not be put off and will be delivered again as stalled: ${messageOf(cause)}`;
    reportTo(worker, message, cause);
    return new DelayedError(message, { cause });
  }
}
