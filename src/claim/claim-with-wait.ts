import { sleep, throwIfAborted } from "../lease/sleep.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { EngineParts } from "./engine-parts.ts";

/** A waiting claim asks the ledger again after a random time below a limit that doubles from the first of these to the second. */
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2_000;

/**
 * Delivers again while the outcome is `contended` and time is left. `deliver` gets what is left of it, for the waiting it can do
 * itself: for an outer lock, by wake-up where the back-end has one.
 * A resource that is only too early is asked for again at the very moment that it is not; if that is past the wait, at once no more.
 * Throws ABORTED, CLOSED.
 */
export async function claimWithWait<T>(
  parts: EngineParts,
  request: {
    readonly waitMs?: number | undefined;
    readonly signal?: AbortSignal | undefined;
    /** Asked for more often than twice in it, a key's next start is known before it is due. */
    readonly minIntervalMs?: number | undefined;
  },
  deliver: (waitMs: number) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const { clock, random, holding } = parts;
  if ((request.waitMs ?? 0) === 0) return deliver(0);
  const endMs = clock.now() + (request.waitMs ?? 0);
  const signals = request.signal === undefined ? [holding.closing] : [request.signal, holding.closing];
  for (let tries = 0; ; tries += 1) {
    const outcome = await deliver(Math.max(0, endMs - clock.now()));
    const leftMs = endMs - clock.now();
    if (outcome.status !== "contended" || leftMs <= 0) return outcome;
    const { retryAfterMs, tooEarly = false } = outcome;
    if (tooEarly && retryAfterMs > leftMs) return outcome;
    const longestMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, (request.minIntervalMs ?? MAX_PAUSE_MS) / 2));
    const jittered = random.fraction() * Math.min(longestMs, FIRST_PAUSE_MS * 2 ** Math.min(tries, 10));
    const pauseMs = retryAfterMs > 0 ? Math.min(jittered, retryAfterMs) : jittered;
    await sleep(clock, Math.min(tooEarly ? retryAfterMs : pauseMs, leftMs), signals);
    throwIfAborted(signals);
  }
}
