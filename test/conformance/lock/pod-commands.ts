/** What a pod is started with. */
export interface PodOptions {
  /** Of sessions, where leases end with them. */
  readonly sessionMs: number;
  readonly products: readonly PodProduct[];
}

/** A product that a pod holds locks of: the file that exports it, and its servers. */
export interface PodProduct {
  readonly title: string;
  readonly file: string;
  readonly urls: readonly string[];
}

export type PodCommand =
  /** Takes the key and works under it until told to end, or until the lock is lost. */
  | { readonly do: "work"; readonly title: string; readonly key: string; readonly ttlMs: number }
  /** Ends the work on the product's key, gives the key back and answers with a `WorkReport`. */
  | { readonly do: "end"; readonly title: string }
  /** Blocks the event loop, and answers with a `Lapse` for each product whose key is held. */
  | { readonly do: "stall"; readonly ms: number }
  | { readonly do: "setClock"; readonly aheadMs: number }
  /** Increments the number in a file so many times, each under the key. The wall clock is set by each of the jumps in turn. */
  | {
      readonly do: "count";
      readonly title: string;
      readonly key: string;
      readonly ttlMs: number;
      readonly path: string;
      readonly times: number;
      readonly clockJumpsMs: readonly number[];
    };

/** What became of a piece of work. Times are of the machine's monotonic clock, the same in all its processes. */
export interface WorkReport {
  /** The last instant at which the work was sure that the lock is its own. */
  readonly lastTrustedAtMs: number;
  /** Why it stopped by itself, by code; null when it worked until it was told to end. */
  readonly lost: string | null;
  readonly aborted: boolean;
  /** Whether giving the key back found it still ours. */
  readonly released: boolean;
}

/** What a process finds that was blocked. */
export interface Lapse {
  readonly title: string;
  /** Whether the signal was aborted before anybody looked. */
  readonly abortedByTimer: boolean;
  /** What `assertHeld` threw, by code; null when it did not. */
  readonly thrown: string | null;
  readonly abortedByLooking: boolean;
}

/** The machine's monotonic clock, in ms. */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
