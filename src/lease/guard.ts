/** What renewing one guard came to. With an error nothing is known: the old deadline stands. */
export type Renewal = "kept" | "lost" | { readonly error: unknown };

/** Renews guards of one kind, many by one call. */
export interface Renewer<Ref> {
  /** Guards renewed by one call. */
  readonly batch: number;
  /** Answers each, in order. Throws when nothing is known of any. */
  renew(refs: readonly Ref[]): Promise<readonly Renewal[]>;
  /** Why a lease is lost whose guard was answered `lost`. */
  lostBecause(ref: Ref): string;
  /** Names one guard in events. */
  label(ref: Ref): string;
}

/** One of the things a lease rests on: the ledger's record, an outer lock. It ends when any of them does. */
export interface Guard<Ref = unknown> {
  readonly ref: Ref;
  /** How long it lasts from when it was won or renewed. */
  readonly ttlMs: number;
  readonly renewer: Renewer<Ref>;
}
