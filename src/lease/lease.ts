import type { Clock } from "../clock.ts";
import { ExclaimError, type ExclaimErrorDetails } from "../errors.ts";
import type { Guard } from "./guard.ts";

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

/** What a lease is for, and what bounds it beside its guards. */
export interface LeaseTerms {
  readonly clock: Clock;
  /** What its errors are about. */
  readonly about: ExclaimErrorDetails;
  /** How long it may be renewed at all. */
  readonly maxHoldMs: number | undefined;
  readonly onLost: (reason: ExclaimError) => void;
}

/**
 * The right to work on something now: trusted until the earliest deadline of its guards, the ledger's lease and the outer locks.
 * Lost once, it is lost for good. A cancelled one (broker, shutdown) tells its handler to stop but can still be completed.
 */
export class Lease {
  readonly #terms: LeaseTerms;
  readonly #controller = new AbortController();
  readonly #holdUntilMs: number;
  readonly #guardUntilMs = new Map<Guard, number>();
  #lost: ExclaimError | undefined;

  constructor(terms: LeaseTerms) {
    this.#terms = terms;
    this.#holdUntilMs = terms.maxHoldMs === undefined ? Number.POSITIVE_INFINITY : terms.clock.now() + terms.maxHoldMs;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get guards(): readonly Guard[] {
    return [...this.#guardUntilMs.keys()];
  }

  /** When this lease ends unless something renews it. */
  get untilMs(): number {
    let until = this.#holdUntilMs;
    for (const guardUntil of this.#guardUntilMs.values()) until = Math.min(until, guardUntil);
    return until;
  }

  /** Rests on one thing more, won by a call sent at `sentAtMs`. */
  guardedBy(guard: Guard, sentAtMs: number): void {
    this.#guardUntilMs.set(guard, trustedUntilMs(sentAtMs, guard.ttlMs));
  }

  /** A guard was renewed by a call sent at `sentAtMs`. A lease already past its deadline stays lost. */
  renewed(guard: Guard, sentAtMs: number): void {
    const untilMs = this.#guardUntilMs.get(guard);
    if (untilMs === undefined || this.isLost()) return;
    this.#guardUntilMs.set(guard, Math.max(untilMs, trustedUntilMs(sentAtMs, guard.ttlMs)));
  }

  /** Compares the clock itself: a stalled event loop fires no timer. */
  isLost(): boolean {
    if (this.#lost !== undefined) return true;
    const now = this.#terms.clock.now();
    if (now >= this.#holdUntilMs) this.lose("HOLD_EXCEEDED", "the claim was held longer than maxHoldMs");
    else if (now >= this.untilMs) this.lose("LEASE_LOST", "the lease ran out before it could be renewed");
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
  lose(reason: ExclaimError): void;
  lose(code: "HOLD_EXCEEDED" | "LEASE_LOST", message: string): void;
  lose(reason: ExclaimError | "HOLD_EXCEEDED" | "LEASE_LOST", message = ""): void {
    if (this.#lost !== undefined) return;
    this.#lost = typeof reason === "string" ? new ExclaimError(reason, message, this.#terms.about) : reason;
    this.#controller.abort(this.#lost);
    this.#terms.onLost(this.#lost);
  }

  /** Tells the handler to stop. The lease itself stays good, so work that finishes all the same can be completed. */
  cancel(reason: ExclaimError): void {
    this.#controller.abort(reason);
  }
}
