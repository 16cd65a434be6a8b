/**
 * `withClaim` for BullMQ: an existing `Worker`, of BullMQ 5 or 6, on Redis or on PostgreSQL, runs its handler with one claimed row.
 *
 * A job becomes a claim of a pool's row or of a resource's key (`bullmq-target.ts`), the outcome a disposition (`settle/decide.ts`), and the disposition
 * what BullMQ understands:
 * - complete: the result is returned
 * - retry: `job.moveToDelayed`, then an error named DelayedError; no attempt is burned
 * - fail: the error is thrown as it is; the job's own attempts and backoff apply
 * - dead-letter: an error named UnrecoverableError; the job stays in the failed set
 *
 * bullmq itself is not imported: what is used of it is typed in `BullmqJob` and `BullmqWorker`.
 */
import type { Claim } from "../claim/claim.ts";
import { ExclaimError } from "../errors.ts";
import { decide } from "../settle/decide.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Disposition, SettlePolicy } from "../settle/policy.ts";
import { DelayedError, judge, messageOf, throwable, UnrecoverableError } from "./bullmq-control-errors.ts";
import { assertBullmqOptions, type BullmqClaimOptions, type BullmqJob, type BullmqResourceOptions } from "./bullmq-options.ts";
import { Outages } from "./bullmq-outages.ts";
import { jobLockLoss, RunningClaims } from "./bullmq-running.ts";
import { type ClaimTarget, poolTarget, resourceTarget } from "./bullmq-target.ts";
import { type BullmqWorker, isWorker, reportTo, workerOf } from "./bullmq-worker.ts";
import { WorkerEvents } from "./bullmq-worker-events.ts";

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
  assertBullmqOptions(handler, options);
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
  const events = new WorkerEvents<J>((job) => target.giveUp(job), running);
  const claimFor = claiming(handler, target, events);
  const outages = new Outages();

  async function processor(this: unknown, job: J, token?: string, signal?: AbortSignal): Promise<T> {
    const worker = workerOf<J>(this);
    if (worker !== undefined) events.listen(worker);
    const run = running.begin({ jobId: job.id, token, worker }, signal);
    try {
      const disposition = await dispositionOf(job, run.signal);
      switch (disposition.do) {
        case "complete":
          outages.over();
          return disposition.result as T;
        case "retry":
          if (disposition.error !== undefined) outages.tell(worker, disposition.error);
          throw await putOff(job, token, disposition.delayMs, worker);
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

  async function dispositionOf(job: J, signal: AbortSignal): Promise<Disposition> {
    const facts = { message: job, deferrals: deferralsOf(job), attemptsMade: job.attemptsMade };
    const first = await claimFor(job, signal, 0);
    const disposition = decide(first.outcome, policy, { ...facts, ...first }, target.jitter());
    if (disposition.do !== "wait") return disposition;
    const second = await claimFor(job, signal, disposition.waitMs);
    return decide(second.outcome, policy, { ...facts, ...second }, target.jitter(), true);
  }

  function watch(worker: BullmqWorker<J>): void {
    if (!isWorker<J>(worker)) throw new ExclaimError("CONFIG_INVALID", "watch(worker): give it this processor's Worker");
    events.listen(worker);
  }

  return Object.assign(processor, { watch });
}

/** The claim of one job, as a function that does not throw: whatever goes wrong is an outcome. */
function claiming<J extends BullmqJob, T, R>(
  handler: (job: J, claim: Claim<R>) => Promise<T>,
  target: ClaimTarget<J, R>,
  events: WorkerEvents<J>,
) {
  return async (job: J, signal: AbortSignal, waitMs: number): Promise<{ claimant: string; outcome: Outcome<T> }> => {
    const lastAttempt = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
    let claimant = "";
    const run = runOf(handler, job);
    let outcome: Outcome<T>;
    try {
      claimant = target.claimantOf(job);
      const messageId = job.id === undefined ? {} : { messageId: job.id };
      const wait = waitMs === 0 ? {} : { waitMs };
      const verdict = (error: unknown) => (jobLockLoss(signal) === undefined ? judge(error) : "pause");
      outcome = await target.claim(job, { ...messageId, ...wait, signal, lastAttempt, judge: verdict }, run.handle);
    } catch (error) {
      outcome = { status: "failed", error };
    }
    // Not a failure of the job, whichever attempt it is: BullMQ will take no answer about it, and delivers it again as stalled.
    const loss = jobLockLoss(signal);
    if (outcome.status === "failed" && loss !== undefined) outcome = { status: "lost", error: loss };
    events.note(job, outcome, run.hasStarted, lastAttempt);
    // What the handler told BullMQ holds even if its claim was cancelled or lost meanwhile: it may have moved its job already.
    const isOverruled = (outcome.status === "failed" || outcome.status === "lost") && judge(run.thrown) !== "failure";
    return { claimant, outcome: isOverruled ? { status: "failed", error: run.thrown } : outcome };
  };
}

/** One run of the handler, and what is to be known of it afterwards. */
function runOf<J, T, R>(handler: (job: J, claim: Claim<R>) => Promise<T>, job: J) {
  const run = {
    hasStarted: false,
    thrown: undefined as unknown,
    async handle(claim: Claim<R>): Promise<T> {
      run.hasStarted = true;
      try {
        return await handler(job, claim);
      } catch (error) {
        run.thrown = error;
        throw error;
      }
    },
  };
  return run;
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
  if (!Number.isFinite(delayMs)) {
    return new ExclaimError("CONFIG_INVALID", `a rule gave delayMs ${delayMs}: give a number of milliseconds`);
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
