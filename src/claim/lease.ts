import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { ClaimRef } from "../ledger/ledger.ts";
import type { LockLease } from "../lock/lock.ts";

/** What clocks of different machines may disagree by within one lease, and what a timer may be late. */
const DRIFT_FRACTION = 0.02;
const DRIFT_MIN_MS = 5;

/**
 * The instant until which a lease is trusted, on the local monotonic clock: `ttlMs` after the call that won it was sent, less the
 * margin. Counted from the sending, since the server's time runs from some moment after it; so we stop before the server gives
 * the lease away.
 */
export function trustedUntilMs(sentAtMs: number, ttlMs: number): number {
  return sentAtMs + ttlMs - Math.max(DRIFT_MIN_MS, ttlMs * DRIFT_FRACTION);
}

/** How a lease came to be and what bounds it. */
export interface LeaseTerms {
  readonly clock: Clock;
  readonly claim: ClaimRef;
  readonly ttlMs: number;
  /** When the claim that won it was sent. */
  readonly sentAtMs: number;
  /** How long it may be renewed at all. */
  readonly maxHoldMs: number | undefined;
  readonly onLost: (reason: ExclaimError) => void;
}

/**
 * The right to work on a claim now: trusted until the earliest deadline of what guards it, the ledger's lease and the outer locks.
 * Lost once, it is lost for good. A cancelled one (broker, shutdown) tells its handler to stop but can still be completed.
 */
export class Lease {
  readonly claim: ClaimRef;
  readonly ttlMs: number;
  readonly #terms: LeaseTerms;
  readonly #controller = new AbortController();
  readonly #holdUntilMs: number;
  readonly #lockUntilMs = new Map<LockLease, number>();
  #ledgerUntilMs: number;
  #lost: ExclaimError | undefined;

  constructor(terms: LeaseTerms) {
    this.#terms = terms;
    this.claim = terms.claim;
    this.ttlMs = terms.ttlMs;
    this.#ledgerUntilMs = trustedUntilMs(terms.sentAtMs, terms.ttlMs);
    this.#holdUntilMs = terms.maxHoldMs === undefined ? Number.POSITIVE_INFINITY : terms.clock.now() + terms.maxHoldMs;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The outer locks that guard this lease beside the ledger. */
  get locks(): readonly LockLease[] {
    return [...this.#lockUntilMs.keys()];
  }

  /** When this lease ends unless something renews it. */
  get untilMs(): number {
    let until = Math.min(this.#ledgerUntilMs, this.#holdUntilMs);
    for (const lockUntil of this.#lockUntilMs.values()) until = Math.min(until, lockUntil);
    return until;
  }

  /** Adds an outer lock, won by a call sent at `sentAtMs`. */
  guardedBy(lock: LockLease, sentAtMs: number): void {
    this.#lockUntilMs.set(lock, trustedUntilMs(sentAtMs, lock.ttlMs));
  }

  /** The ledger renewed it at a call sent at `sentAtMs`. A lease already past its deadline stays lost. */
  renewed(sentAtMs: number): void {
    if (this.isLost()) return;
    this.#ledgerUntilMs = Math.max(this.#ledgerUntilMs, trustedUntilMs(sentAtMs, this.ttlMs));
  }

  lockExtended(lock: LockLease, sentAtMs: number): void {
    if (this.isLost() || !this.#lockUntilMs.has(lock)) return;
    this.guardedBy(lock, sentAtMs);
  }

  /** Compares the clock itself: a stalled event loop fires no timer. */
  isLost(): boolean {
    if (this.#lost !== undefined) return true;
    const now = this.#terms.clock.now();
    if (now >= this.#holdUntilMs) this.lose(this.#error("HOLD_EXCEEDED", "the claim was held longer than maxHoldMs"));
    else if (now >= this.untilMs) this.lose(this.#error("LEASE_LOST", "the lease ran out before it could be renewed"));
    return this.#lost !== undefined;
  }

  /** Throws what lost it, unless this very instant is covered. A cancelled lease passes. */
  assertTrusted(): void {
    if (this.isLost()) throw this.#lost;
  }

  /** Throws also when cancelled. */
  assertHeld(): void {
    this.assertTrusted();
    if (this.signal.aborted) throw this.signal.reason;
  }

  /** It is somebody else's, or nobody knows: from now on nothing may be written under it. */
  lose(reason: ExclaimError): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    this.#controller.abort(reason);
    this.#terms.onLost(reason);
  }

  /** Tells the handler to stop. The lease itself stays good, so work that finishes all the same can be completed. */
  cancel(reason: ExclaimError): void {
    this.#controller.abort(reason);
  }

  #error(code: "HOLD_EXCEEDED" | "LEASE_LOST", message: string): ExclaimError {
    return new ExclaimError(code, message, { claimant: this.claim.claimant, pool: this.claim.pool });
  }
}
