import { sleep } from "../lease/sleep.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { Beat } from "./resource.ts";

/** After a claim that failed before its handler ran, such as for a database that is away. */
const FAILURE_PAUSE_MS = 1_000;

export interface BeatTerms {
  readonly intervalMs: number;
  readonly signal: AbortSignal | undefined;
  /** Claims the beat and runs its handler: `hasRun` says whether that was begun. */
  claim(isStopping: () => boolean): Promise<{ readonly outcome: Outcome; readonly hasRun: boolean }>;
}

/**
 * Claims the beat again and again: the ledger refuses what is too early and says when it will not be. Nobody sleeps longer than the
 * interval, so that a holder that died is found out.
 */
export function serveBeat(parts: EngineParts, terms: BeatTerms): Beat {
  const stopping = new AbortController();
  const { closing } = parts.holding;
  const signals = [stopping.signal, closing, ...(terms.signal === undefined ? [] : [terms.signal])];
  const serving = serve();
  const stop = (): Promise<void> => {
    stopping.abort();
    return serving;
  };
  return { stop, [Symbol.asyncDispose]: stop };

  async function serve(): Promise<void> {
    const isStopping = (): boolean => signals.some(({ aborted }) => aborted);
    while (!isStopping()) {
      const { outcome, hasRun } = await terms.claim(isStopping);
      await sleep(parts.clock, pauseMs(outcome, hasRun), signals);
    }
  }

  function pauseMs(outcome: Outcome, hasRun: boolean): number {
    if (outcome.status === "contended") return Math.min(outcome.retryAfterMs, terms.intervalMs);
    // Asked at once after a run, the ledger answers how long it is to the next beat, by its own clock.
    return hasRun ? 0 : Math.min(FAILURE_PAUSE_MS, terms.intervalMs);
  }
}
