import type { Clock } from "../clock.ts";
import { onAbort } from "./on-abort.ts";

/** How long some work is waited for, and what becomes of it after that. */
export interface Limits<T> {
  readonly clock: Clock;
  readonly limitMs: number;
  /** Any of them ends it as well; none is aborted yet. */
  readonly signals?: readonly AbortSignal[];
  /** Gives, or throws, what comes instead of the work's value. */
  readonly late: () => T;
  /** Takes what the work brings after that. Never throws. */
  readonly tooLate?: (value: T) => void;
}

/**
 * What `work` gives, or what `late` gives when it takes longer than the limits say. Work that goes on after that is nobody's: what it
 * throws is dropped, what it brings is given to `tooLate`.
 */
export function within<T>(work: Promise<T>, { clock, limitMs, signals = [], late, tooLate }: Limits<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    let stopListening = (): void => {};
    const stop = (): void => {
      cancelTimer();
      stopListening();
    };
    const giveUp = (): void => {
      stop();
      isLate = true;
      // What it throws rejects.
      resolve(new Promise<T>((settle) => settle(late())));
    };
    const cancelTimer = clock.after(limitMs, giveUp, true);
    stopListening = onAbort(signals, giveUp);
    work.then(
      (value) => {
        stop();
        if (isLate) tooLate?.(value);
        else resolve(value);
      },
      (error: unknown) => {
        stop();
        if (!isLate) reject(error);
      },
    );
  });
}
