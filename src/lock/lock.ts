/**
 * The contract of a lock back-end. Every other file in this folder is one product.
 *
 * The rules every back-end keeps, and the conformance suite checks:
 * - L1 at most one live lease a key, as the server sees it;
 * - L2 release and extend compare the owner: a non-owner changes nothing;
 * - L3 a lease that is not extended is free again after its ttl;
 * - L4 contention is a value with a wait hint, failure is an error that names nodes and causes;
 * - L5 an attempt that did not win leaves nothing behind, on any node;
 * - L6 every call ends within its own time limit, whatever the client's options are;
 * - L7 acquiring again with the same owner is a success: a lost reply orphans nothing.
 *
 * Renewal, deadlines, waiting and abort are written once above it, never in a product.
 */

/** What a product can do, as data: the conformance suite reads it to decide what applies. */
export interface LockCapabilities {
  /** `ttl`: a lease runs out by itself. `session`: it lasts as long as the connection that holds it. */
  readonly expiry: "ttl" | "session";
  /** The server counts ttl in steps of this many ms, rounded up. */
  readonly ttlGranularityMs: number;
  /** Several holders at once in shared mode. */
  readonly shared: boolean;
  /** Waiters are served in the order they came. */
  readonly fifo: boolean;
}

/** Proof of a win: pass it back to `extend` and `release` unchanged. */
export interface LockLease {
  readonly key: string;
  /** Random per acquisition; what the server compares. */
  readonly owner: string;
  readonly ttlMs: number;
}

/** `lease` when won; otherwise null and when to try again. */
export type LockAttempt =
  | { readonly lease: LockLease }
  | {
      readonly lease: null;
      /** The holder's remaining lease as the server told it, in ms; 0 when unknown. */
      readonly retryAfterMs: number;
    };

export interface AcquireOptions {
  /** How long the lease lasts on the server unless extended, in ms. */
  readonly ttlMs: number;
  /** Unguessable id of this acquisition. */
  readonly owner: string;
}

/** One lock product. */
export interface LockBackend {
  /** Short name for errors and events, e.g. `redlock`. */
  readonly name: string;
  readonly capabilities: LockCapabilities;

  /**
   * Tries once to take `key`; never waits for a holder.
   * After: a lease valid for `ttlMs` counted from when this was called, or null and nothing left on any node.
   * Died in between: a won key runs out by itself after `ttlMs`.
   * Throws LOCK_UNREACHABLE: too few nodes answered; votes already won were given back.
   */
  acquire(key: string, options: AcquireOptions): Promise<LockAttempt>;

  /**
   * Makes a lease we still hold last `ttlMs` from now.
   * After: true, the lease holds; false, it is somebody else's or gone: stop at once.
   * Throws LOCK_UNREACHABLE: holding unknown; the old deadline stands.
   */
  extend(lease: LockLease): Promise<boolean>;

  /**
   * Gives a lease back. Idempotent.
   * After: true, it was ours and is free; false, it was no longer ours and nothing changed.
   * Throws LOCK_UNREACHABLE: it runs out by itself after its ttl.
   */
  release(lease: LockLease): Promise<boolean>;
}
