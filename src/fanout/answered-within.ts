import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";

/**
 * What the promise gives, or BROKER_UNREACHABLE after `limitMs`. What comes of the promise later troubles nobody: what it sent is sent
 * again, under the same ids.
 */
export function answeredWithin<T>(clock: Clock, limitMs: number, name: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(
      limitMs,
      () => reject(new ExclaimError("BROKER_UNREACHABLE", `${name} gave no answer within ${limitMs} ms`)),
      true,
    );
    promise.then(resolve, reject).finally(cancel);
  });
}
