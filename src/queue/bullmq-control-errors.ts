import { ExclaimError, isExclaimError } from "../errors.ts";
import { messageOf } from "./message-of.ts";

/**
 * The errors by which a BullMQ processor tells its Worker what to do with the job.
 *
 * BullMQ knows them by `name`, or by message where it limits the rate, so its own classes are not needed at run time, and an
 * error that crossed the process boundary of a sandboxed processor is known as well.
 * Source: bullmq 6.7.0 and 5.81.5, `Worker.handleFailed` and `Job.shouldRetryJob`.
 */

/** The handler moved its own job elsewhere; the Worker takes the next one and writes nothing about this one. */
const PAUSING_NAMES: readonly unknown[] = ["DelayedError", "WaitingError", "WaitingChildrenError"];
const RATE_LIMIT_MESSAGE = "bullmq:rateLimitExceeded";
const FINAL_NAME = "UnrecoverableError";

/** Tells the Worker that the job was put off: no attempt is burned. */
export class DelayedError extends Error {
  override readonly name: string = "DelayedError";
}

/**
 * Tells the Worker never to retry the job. `failed` listeners receive it.
 * Shape: the message is the reason, with the code in front where the code says more than "refused"; `code` is the original
 * error's; `cause` is the original error.
 */
export class UnrecoverableError extends ExclaimError {
  override readonly name: string = FINAL_NAME;

  constructor(original: unknown) {
    const code = isExclaimError(original) ? original.code : "REFUSED";
    super(code, code === "REFUSED" ? messageOf(original) : `${code}: ${messageOf(original)}`, { cause: original });
  }
}

/** What an error of the handler means to BullMQ: it will retry, it will not, or the handler put its own job off. */
export function judge(error: unknown): "failure" | "final" | "pause" {
  if (typeof error !== "object" || error === null) return "failure";
  const { name, message } = error as { readonly name?: unknown; readonly message?: unknown };
  if (message === RATE_LIMIT_MESSAGE || PAUSING_NAMES.includes(name)) return "pause";
  return name === FINAL_NAME ? "final" : "failure";
}

/**
 * What may be thrown at the Worker: `error` itself where it is an error or one of BullMQ's signals, else an error around it.
 * The Worker reads `message` and `name` of whatever is thrown: a thrown `undefined` would break it and leave the job active.
 */
export function throwable(error: unknown): unknown {
  if (error instanceof Error || Object.prototype.toString.call(error) === "[object Error]") return error;
  if (judge(error) !== "failure") return error;
  return new Error(`the handler threw what is not an Error: ${messageOf(error)}`, { cause: error });
}
