import { ExclaimError, isExclaimError } from "../errors.ts";
import { messageOf } from "./message-of.ts";

/** One call of the processor. */
export interface RunningClaim {
  /** Aborts with an `ExclaimError` when BullMQ cancels the job or loses its lock. */
  readonly signal: AbortSignal;
  /** The call has ended: nothing aborts it any more. */
  end(): void;
}

/** What a call is known by. */
interface Call {
  readonly jobId: string | undefined;
  readonly token: string | undefined;
  /** Unknown where the processor is bound to something that is not the Worker. */
  readonly worker: object | undefined;
}

/**
 * The calls of one processor that are going on, and what aborts them.
 * Each call has its own entry: a stalled job may be running twice in one worker, and the end of one says nothing of the other.
 */
export class RunningClaims {
  readonly #running = new Map<AbortController, Call>();

  /** Notes a call until its `end()`. `brokerSignal` is the one BullMQ gives, which only a cancelled job aborts. */
  begin(call: Call, brokerSignal: AbortSignal | undefined): RunningClaim {
    const controller = new AbortController();
    const cancel = () => controller.abort(cancelled(brokerSignal?.reason));
    this.#running.set(controller, call);
    // Not AbortSignal.any: it does not accept the signal of bullmq below 5.72.1.
    if (brokerSignal?.aborted) cancel();
    else brokerSignal?.addEventListener("abort", cancel, { once: true });
    return {
      signal: controller.signal,
      end: () => {
        this.#running.delete(controller);
        brokerSignal?.removeEventListener("abort", cancel);
      },
    };
  }

  /** Aborts every call for these jobs on this worker; a call for one of them on another worker has a job lock of its own. */
  abortLost(worker: { readonly id: string }, jobIds: readonly string[]): void {
    for (const [controller, call] of this.#running) {
      if (call.jobId === undefined || !jobIds.includes(call.jobId) || !isOn(worker, call)) continue;
      const message = `BullMQ could not renew its lock of job ${call.jobId}: the job may be running elsewhere`;
      controller.abort(new ExclaimError("LEASE_LOST", message));
    }
  }
}

/** Why a call was aborted, if it was because BullMQ lost its lock of the job. */
export function jobLockLoss(signal: AbortSignal): ExclaimError | undefined {
  const reason: unknown = signal.reason;
  return isExclaimError(reason, "LEASE_LOST") ? reason : undefined;
}

/** By the Worker that called; else by BullMQ's job token, which begins with the id of the worker that fetched the job. */
function isOn(worker: { readonly id: string }, call: Call): boolean {
  if (call.worker !== undefined) return call.worker === worker;
  return call.token?.startsWith(`${worker.id}:`) === true;
}

/** BullMQ aborts with the bare text given to `cancelJob`. */
function cancelled(reason: unknown): ExclaimError {
  if (isExclaimError(reason)) return reason;
  const why = reason === undefined ? "" : `: ${messageOf(reason)}`;
  return new ExclaimError("ABORTED", `BullMQ cancelled this job${why}`, { cause: reason });
}
