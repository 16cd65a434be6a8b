import type { Clock } from "../clock.ts";

/**
 * What `work` gives, or what `late` gives when it takes longer than `limitMs`. Work that goes on after that is nobody's: what it
 * throws is dropped, what it brings is given to `tooLate`.
 */
export function within<T>(
  clock: Clock,
  limitMs: number,
  work: Promise<T>,
  late: () => T | Promise<T>,
  tooLate: (value: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const cancel = clock.after(
      limitMs,
      () => {
        isLate = true;
        // A function that throws rejects as well.
        Promise.resolve().then(late).then(resolve, reject);
      },
      true,
    );
    work.then(
      (value) => {
        cancel();
        if (isLate) tooLate(value);
        else resolve(value);
      },
      (error: unknown) => {
        cancel();
        if (!isLate) reject(error);
      },
    );
  });
}
