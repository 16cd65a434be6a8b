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
  /** Made when somebody asks for the signal: most handlers are done before they would. */
  #controller: AbortController | undefined;
  #cancelled: ExclaimError | undefined;
  readonly #holdUntilMs: number;
  readonly #guards: Guard[] = [];
  /** Of each guard, in their order. */
  readonly #guardUntilMs: number[] = [];
  #untilMs: number;
  #lost: ExclaimError | undefined;

  constructor(terms: LeaseTerms) {
    this.#terms = terms;
    this.#holdUntilMs = terms.maxHoldMs === undefined ? Number.POSITIVE_INFINITY : terms.clock.now() + terms.maxHoldMs;
    this.#untilMs = this.#holdUntilMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** Why the handler was told to stop: what lost the lease, or what cancelled it. */
  get stopReason(): ExclaimError | undefined {
    return this.#cancelled;
  }

  get guards(): readonly Guard[] {
    return this.#guards;
  }

  /** When this lease ends unless something renews it. */
  get untilMs(): number {
    return this.#untilMs;
  }

  /** Rests on one thing more, won by a call sent at `sentAtMs`. */
  guardedBy(guard: Guard, sentAtMs: number): void {
    this.#guards.push(guard);
    this.#guardUntilMs.push(trustedUntilMs(sentAtMs, guard.ttlMs));
    this.#untilMs = Math.min(this.#holdUntilMs, ...this.#guardUntilMs);
  }

  /** A guard was renewed by a call sent at `sentAtMs`. A lease already past its deadline stays lost. */
  renewed(guard: Guard, sentAtMs: number): void {
    const index = this.#guards.indexOf(guard);
    const untilMs = this.#guardUntilMs[index];
    if (untilMs === undefined || this.isLost()) return;
    this.#guardUntilMs[index] = Math.max(untilMs, trustedUntilMs(sentAtMs, guard.ttlMs));
    this.#untilMs = Math.min(this.#holdUntilMs, ...this.#guardUntilMs);
  }

  /** Compares the clock itself: a stalled event loop fires no timer. */
  isLost(): boolean {
    if (this.#lost !== undefined) return true;
    const now = this.#terms.clock.now();
    if (now >= this.#holdUntilMs) this.lose("HOLD_EXCEEDED", "the claim was held longer than maxHoldMs");
    else if (now >= this.#untilMs) this.lose("LEASE_LOST", "the lease ran out before it could be renewed");
    return this.#lost !== undefined;
  }

  /** Throws what lost it, unless this very instant is covered. A cancelled lease passes. */
  assertTrusted(): void {
    if (this.isLost()) throw this.#lost;
  }

  /** Throws also when cancelled. */
  assertHeld(): void {
    this.assertTrusted();
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }

  /** It is somebody else's, or nobody knows: from now on nothing may be written under it. */
  lose(reason: ExclaimError): void;
  lose(code: "HOLD_EXCEEDED" | "LEASE_LOST", message: string): void;
  lose(reason: ExclaimError | "HOLD_EXCEEDED" | "LEASE_LOST", message = ""): void {
    if (this.#lost !== undefined) return;
    this.#lost = typeof reason === "string" ? new ExclaimError(reason, message, this.#terms.about) : reason;
    this.cancel(this.#lost);
    this.#terms.onLost(this.#lost);
  }

  /** Tells the handler to stop. The lease itself stays good, so work that finishes all the same can be completed. */
  cancel(reason: ExclaimError): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = reason;
    this.#controller?.abort(reason);
  }
}
