import { ExclaimError, isExclaimError } from "../errors.ts";

/** What is used of a BullMQ `Worker`, of either major. */
export interface BullmqWorker<J> {
  readonly id: string;
  on(event: "lockRenewalFailed", listener: (jobIds: string[]) => void): unknown;
  on(event: "failed", listener: (job: J | undefined, error: Error) => void): unknown;
  emit(event: "error", error: Error): boolean;
}

/**
 * The Worker behind a processor's `this`: BullMQ calls its processor as a method of the Worker; a class that has its Worker as
 * `worker` (a Nest `WorkerHost`) may have bound it. Anything else, a sandboxed processor too: undefined.
 */
export function workerOf<J>(self: unknown): BullmqWorker<J> | undefined {
  if (isWorker<J>(self)) return self;
  if (typeof self !== "object" || self === null) return undefined;
  try {
    const { worker } = self as { readonly worker?: unknown };
    return isWorker<J>(worker) ? worker : undefined;
  } catch {
    // A getter that throws until the Worker is made: there is none to listen to.
    return undefined;
  }
}

/** Tells a Worker from other things that have events. */
export function isWorker<J>(value: unknown): value is BullmqWorker<J> {
  if (typeof value !== "object" || value === null) return false;
  const { id, on, emit, getNextJob } = value as Record<string, unknown>;
  return typeof id === "string" && [on, emit, getNextJob].every((method) => typeof method === "function");
}

/** Says what went wrong where BullMQ says such things: by the Worker's `error` event. Never throws. */
export function reportTo<J>(worker: BullmqWorker<J> | undefined, message: string, cause: unknown): void {
  try {
    worker?.emit("error", new ExclaimError(isExclaimError(cause) ? cause.code : "ABORTED", message, { cause }));
  } catch {
    // A Worker nobody listens to, or a listener that throws: the job's fate must not depend on it.
  }
}
