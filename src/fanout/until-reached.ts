import type { Clock } from "../clock.ts";
import { isExclaimError } from "../errors.ts";
import { sleep } from "./sleep.ts";

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;

/** How long an import bears with a server that is away. */
export interface Patience {
  readonly clock: Clock;
  /** In all, for one call. */
  readonly patienceMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Calls a server until it answers, with growing pauses, while its errors say that it is away.
 * Only for calls that may be made again. Throws its last error: after `patienceMs`, once the signal is aborted, or any other at once.
 */
export async function untilReached<T>(call: () => Promise<T>, { clock, patienceMs, signal }: Patience): Promise<T> {
  const giveUpAt = clock.now() + patienceMs;
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)) {
    try {
      return await call();
    } catch (error) {
      if (!isAway(error) || signal?.aborted || clock.now() + delayMs > giveUpAt) throw error;
    }
    await sleep(clock, delayMs, signal);
  }
}

/** Whether a server is away, and may come back. */
export function isAway(error: unknown): boolean {
  return isExclaimError(error, "BROKER_UNREACHABLE") || isExclaimError(error, "DATABASE_UNREACHABLE");
}
