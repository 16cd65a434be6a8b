import type { LockMode } from "../lock/lock.ts";

/** How a lock of its own is taken. */
export interface AcquireLockOptions {
  /** How long a lease lasts unless renewed (it is, at a third), in ms, 100 to 86,400,000. @default `ttlMs` of `createExclaim` */
  readonly ttlMs?: number;
  /**
   * How long to wait for other holders, in ms, up to 86,400,000. 0 tries once. A call to the server that is under way at its end is still
   * waited for, up to 5 seconds. @default 0
   */
  readonly waitMs?: number;
  /** `shared`: several holders at once that exclude exclusive ones. Where the back-end can. @default "exclusive" */
  readonly mode?: LockMode;
  /** Ends the wait, and a try under way, at once. Once the lock is held it has no effect. @default none */
  readonly signal?: AbortSignal;
}

/** Locks by themselves, without a claim: for work that never touches the database. */
export interface Locks {
  /**
   * Takes one key, or several, sorted, all or none, and renews them until they are released.
   * Shape: `await using lock = await exclaim.lock.acquire("report:7", { waitMs: 5_000 }); if (lock.status === "contended") return;`
   * After: `held`, or `contended` and nothing held. What a lock alone can promise: as the back-end sees it, nobody else holds it
   *   until `signal` aborts. A paused process may work on after that; it has no fencing token. For effects that must not happen
   *   twice claim a resource.
   * Died in between: the keys run out by themselves after `ttlMs`.
   * Throws CONFIG_INVALID: no lock back-end, a wrong option; LOCK_UNREACHABLE: so it was until the end of the wait; LEASE_LOST: one of
   *   several keys was lost while others were waited for; ABORTED; CLOSED.
   */
  acquire(keys: string | readonly string[], options?: AcquireLockOptions): Promise<HeldLock | ContendedLock>;
}

/** A lock under renewal: one object until it is released. */
export interface HeldLock extends AsyncDisposable {
  readonly status: "held";
  /** What is held, sorted. */
  readonly keys: readonly string[];
  /** Aborts, always before the server could give a key away, when the lock can no longer be trusted. The reason is an `ExclaimError`. */
  readonly signal: AbortSignal;
  /** Throws LEASE_LOST, CLOSED, or CLAIM_ENDED once released, unless the lock can be trusted at this instant, by the monotonic clock. */
  assertHeld(): void;
  /**
   * Gives the keys back. Idempotent; never throws and never hangs, so it cannot mask an error on its way out.
   * After: true, they were ours until now. False: lost before, or the server did not answer; then they run out by themselves, and the
   *   event `lock:releaseFailed` tells.
   */
  release(): Promise<boolean>;
}

/** Somebody else holds one of the keys. */
export interface ContendedLock extends AsyncDisposable {
  readonly status: "contended";
  /** When it is worth asking again, in ms, as the server knows; 0 when it does not. */
  readonly retryAfterMs: number;
}
