import type { Clock } from "../clock.ts";

/** Resolves after `ms`, once the signal is aborted, or with `until`; never rejects. The process stays alive for it. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal | undefined, until?: Promise<void>): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      cancel();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const cancel = clock.after(ms, finish, true);
    signal?.addEventListener("abort", finish);
    void until?.then(finish, finish);
  });
}
