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
 * And where the capabilities say so:
 * - L8 shared leases of a key exclude exclusive ones and not each other;
 * - L9 with `queue`, waiters win in the order in which they first asked, and one that stops asking lets the next one pass;
 * - L10 a waiter is woken when it may win, and no crowd with it.
 *
 * Renewal, deadlines, waiting and abort are written once above it, never in a product.
 */

/** `shared`: any number of holders at once, and no exclusive one. */
export type LockMode = "exclusive" | "shared";

/** What a product can do, as data: the conformance suite reads it to decide what applies. */
export interface LockCapabilities {
  /** `ttl`: a lease runs out by itself. `session`: it lasts as long as the connection that holds it. */
  readonly expiry: "ttl" | "session";
  /** The server counts ttl in steps of this many ms, rounded up. */
  readonly ttlGranularityMs: number;
  /** Several holders at once in shared mode. */
  readonly shared: boolean;
  /** Waiters that ask with `queue` are served in the order they came. */
  readonly fifo: boolean;
  /** The server tells waiters when a key may have become free: `watch` is there. */
  readonly push: boolean;
}

/** Proof of a win: pass it back to `extend` and `release` unchanged. */
export interface LockLease {
  readonly key: string;
  /** Random per acquisition; what the server compares. */
  readonly owner: string;
  readonly ttlMs: number;
  /** Absent: exclusive. */
  readonly mode?: "shared";
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
  /** `shared` only where the capabilities say so. @default "exclusive" */
  readonly mode?: LockMode;
  /**
   * Where `fifo`: an attempt that does not win keeps this owner's place in the line. It lasts until the owner wins, gives it up by
   * `release`, or has not asked for `ttlMs` (where leases end with their session: until that ends). Elsewhere ignored.
   * @default false
   */
  readonly queue?: boolean;
}

/** Who waits for what. */
export interface LockWaiter {
  readonly key: string;
  readonly owner: string;
  readonly mode: LockMode;
}

/** One lock product. */
export interface LockBackend {
  /** Short name for errors and events, e.g. `redlock`. */
  readonly name: string;
  readonly capabilities: LockCapabilities;

  /**
   * Tries once to take `key`; never waits for a holder.
   * After: a lease valid for `ttlMs` counted from when this was called; or null and nothing left on any node, but for the place in
   * the line that was asked for.
   * Died in between: a won key runs out by itself after `ttlMs`.
   * Throws LOCK_UNREACHABLE: too few nodes answered; votes already won were given back. CONFIG_INVALID: a ttl, mode or session that
   * this product cannot give.
   */
  acquire(key: string, options: AcquireOptions): Promise<LockAttempt>;

  /**
   * Makes a lease we still hold last `ttlMs` from now.
   * After: true, the lease holds; false, it is somebody else's or gone: stop at once.
   * Throws LOCK_UNREACHABLE: holding unknown; the old deadline stands.
   */
  extend(lease: LockLease): Promise<boolean>;

  /**
   * Gives a lease back, or a place in the line up. Idempotent.
   * After: true, the lease was ours and is free; false, it was no longer ours, or only waited for.
   * Throws LOCK_UNREACHABLE: it runs out by itself after its ttl.
   */
  release(lease: LockLease): Promise<boolean>;

  /**
   * `extend` for many leases by one call to the server; where there is none, each is extended by itself.
   * Returns an answer for each, in order. Throws LOCK_UNREACHABLE: holding of all is unknown; the old deadlines stand.
   */
  extendMany?(leases: readonly LockLease[]): Promise<readonly boolean[]>;

  /**
   * Calls `wake`, more than once perhaps, when the waiter may win: where `fifo`, when its turn may have come, else when the key may
   * have become free. Where `push`.
   * After: resolved once the server knows of it; who asks again then misses nothing. Wake-ups are a hint all the same: none comes
   * over a connection that broke, so nobody waits for them alone. The returned function ends it.
   * Throws LOCK_UNREACHABLE: there will be no wake-up.
   */
  watch?(waiter: LockWaiter, wake: () => void): Promise<() => void>;
}
