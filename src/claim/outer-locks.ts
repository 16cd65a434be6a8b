import type { Guard } from "../lease/guard.ts";
import type { WonLock } from "../lease/lock-calls.ts";
import type { LockMode } from "../lock/lock.ts";
import type { EngineParts } from "./engine-parts.ts";

/** When to ask again where the lock's server cannot say how long the holder has it. */
const UNKNOWN_WAIT_MS = 100;

/** `held` also where no back-end is configured: the ledger's lease is the only guard then. */
export type LockAnswer = "held" | { readonly retryAfterMs: number };

export interface OuterLockOptions {
  readonly waitMs: number;
  readonly signal: AbortSignal | undefined;
  readonly mode?: LockMode | undefined;
}

/** The outer locks of one delivery, given back together at its end. */
export class OuterLocks implements AsyncDisposable {
  readonly #parts: EngineParts;
  readonly #options: OuterLockOptions;
  readonly #won: WonLock[] = [];

  constructor(parts: EngineParts, options: OuterLockOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** There is a back-end to take locks from. */
  get areWanted(): boolean {
    return this.#parts.holding.taker !== undefined;
  }

  get areHeld(): boolean {
    return this.#won.length > 0;
  }

  /** Takes a key, waiting as the options say. Throws LOCK_UNREACHABLE, ABORTED, CONFIG_INVALID. */
  take(key: string): Promise<LockAnswer> {
    return this.#take(key, this.#options.waitMs);
  }

  tryOnce(key: string): Promise<LockAnswer> {
    return this.#take(key, 0);
  }

  guards(): readonly { readonly guard: Guard; readonly sentAtMs: number }[] {
    const { taker } = this.#parts.holding;
    if (taker === undefined) return [];
    return this.#won.map((lock) => ({ guard: taker.guard(lock), sentAtMs: lock.sentAtMs }));
  }

  async #take(key: string, waitMs: number): Promise<LockAnswer> {
    const { holding, ttlMs } = this.#parts;
    if (holding.taker === undefined) return "held";
    const { signal, mode = "exclusive" } = this.#options;
    const signals = signal === undefined ? [holding.closing] : [signal, holding.closing];
    const answer = await holding.taker.take({ key, ttlMs, mode, waitMs, signals });
    if (answer.lock === null) return { retryAfterMs: Math.max(answer.retryAfterMs, UNKNOWN_WAIT_MS) };
    this.#won.push(answer.lock);
    return "held";
  }

  /** Never throws. A second call finds nothing to give back. */
  async release(): Promise<void> {
    await Promise.all(this.#won.splice(0).map((lock) => this.#parts.holding.taker?.release(lock)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
