import type { Clock } from "../clock.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import { onAbort } from "./on-abort.ts";
import type { Waiter } from "./waiting-line.ts";

/** Sleeps for `ms`, or until aborted or, with a `waiter`, woken. Resolves with whether it was woken; never rejects. */
export function sleep(clock: Clock, ms: number, signals: readonly AbortSignal[], waiter?: Waiter): Promise<boolean> {
  if (signals.some(({ aborted }) => aborted)) return Promise.resolve(false);
  return new Promise((resolve) => {
    let callOff = (): void => {};
    let stopListening = (): void => {};
    const finish = (wasWoken: boolean): void => {
      cancelTimer();
      stopListening();
      callOff();
      resolve(wasWoken);
    };
    const cancelTimer = clock.after(Math.max(0, ms), () => finish(false), true);
    stopListening = onAbort(signals, () => finish(false));
    if (waiter !== undefined) callOff = waiter.onceAwake(() => finish(true));
  });
}

/** Throws the first signal's reason if it is an `ExclaimError`, and ABORTED with it as its cause otherwise. */
export function throwIfAborted(signals: readonly AbortSignal[]): void {
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted === undefined) return;
  const reason: unknown = aborted.reason;
  if (isExclaimError(reason)) throw reason;
  throw new ExclaimError("ABORTED", "the caller's signal was aborted before anything was won", { cause: reason });
}
