import type { ClaimPlace } from "./voucher-claims.ts";

/** Claims that arrive by themselves, however many are under way. */
export interface Arrivals {
  readonly count: number;
  /** On average: the gaps are those of a Poisson process. */
  readonly perSecond: number;
  /** Of the gaps: the same seed makes the same gaps. */
  readonly seed: number;
}

/** What arrivals met. Each array has one figure an arrival, in ms since the instant for which it was scheduled. */
export interface Latencies {
  /** From the first arrival's instant until the last completion. */
  readonly ms: number;
  /** Until the program got to it: it sleeps in whole milliseconds, and may be busy. */
  readonly begunMs: readonly number[];
  /** Until the handler started with its row. */
  readonly claimMs: readonly number[];
  /** Until the completion was durable. */
  readonly pairMs: readonly number[];
}

export interface Memory {
  /** After two full collections. */
  readonly heapBytes: number;
  readonly rssBytes: number;
}

/** What a claimer can be asked: `begin` first, `close` last. */
export type ClaimerCalls = {
  readonly begin: { readonly ask: ClaimPlace; readonly answer: undefined };
  /** Claims and completions of as many claimants. Answers how long they took, in ms. */
  readonly claim: { readonly ask: { readonly count: number; readonly concurrency: number }; readonly answer: number };
  readonly arrive: { readonly ask: Arrivals; readonly answer: Latencies };
  readonly memory: { readonly ask: undefined; readonly answer: Memory };
  readonly close: { readonly ask: undefined; readonly answer: undefined };
};
