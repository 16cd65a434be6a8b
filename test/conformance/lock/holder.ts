import { createExclaim, type Exclaim, type HeldLock } from "../../../src/index.ts";
import type { LockBackend } from "../../../src/lock/lock.ts";
import { eventually } from "../../support/eventually.ts";
import type { LockProduct, OpenLock } from "./lock-product.ts";
import { RecordedCalls } from "./recorded-calls.ts";

/** Somebody in this process who takes locks as everybody does, over clients of its own. */
export class Holder {
  readonly exclaim: Exclaim;
  readonly ttlMs: number;
  /** For calls that go to the back-end directly. */
  readonly backend: LockBackend;
  readonly #calls: RecordedCalls;
  readonly #opened: OpenLock;

  private constructor(opened: OpenLock, ttlMs: number) {
    this.#opened = opened;
    this.#calls = new RecordedCalls(opened.backend);
    this.backend = opened.backend;
    this.ttlMs = ttlMs;
    this.exclaim = createExclaim({ lock: this.#calls.backend, ttlMs });
  }

  static async open(product: LockProduct, urls: readonly string[], ttlMs: number): Promise<Holder> {
    return new Holder(await product.open(urls, { sessionMs: ttlMs }), ttlMs);
  }

  /** Takes a key, waiting for it if need be. */
  async hold(key: string, waitMs = 10_000): Promise<Hold> {
    const lock = await this.exclaim.lock.acquire(key, { waitMs });
    if (lock.status === "contended") throw new Error(`${key} was not won within ${waitMs} ms`);
    return new Hold(lock, key, this.#calls, this.ttlMs);
  }

  /** How many who wanted a lock have been answered at least once. */
  get answered(): number {
    return this.#calls.answeredOwners.size;
  }

  /** How many calls that could win or prolong a lease were sent since then. */
  callsSince(atMs: number): number {
    return this.#calls.sentAtMs.filter((sentAtMs) => sentAtMs >= atMs).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.exclaim.close({ drainMs: 0 });
    await this.#opened.close();
  }
}

/** What came of a lease that was lost. */
export interface Abort {
  /** Whether the signal aborted before anything else could happen in this process once the ttl was over. */
  readonly beforeTtl: boolean;
  /** How long after the sending of the last call that won or kept the lease, in ms. */
  readonly afterMs: number;
}

/**
 * A key that is held, and when that ended. Times are of this process's monotonic clock, in ms.
 *
 * The abort is measured against a timer that is set to the instant at which the server may give the key away: the ttl after the last
 * call that won or kept the lease was sent. On a busy machine all timers are late, but they still fire in their order.
 */
export class Hold {
  readonly lock: HeldLock;
  readonly key: string;
  readonly wonAtMs = performance.now();
  abortedAtMs: number | undefined;
  readonly #calls: RecordedCalls;
  readonly #ttlMs: number;
  #referee: NodeJS.Timeout | undefined;
  #isOverdue = false;

  constructor(lock: HeldLock, key: string, calls: RecordedCalls, ttlMs: number) {
    this.lock = lock;
    this.key = key;
    this.#calls = calls;
    this.#ttlMs = ttlMs;
    calls.onKept(key, () => this.#expectAbort());
    this.#expectAbort();
    lock.signal.addEventListener("abort", () => {
      clearTimeout(this.#referee);
      this.abortedAtMs = performance.now();
    });
  }

  get isAborted(): boolean {
    return this.lock.signal.aborted;
  }

  /** When the last call was sent that won or kept the lease. */
  get lastKeptAtMs(): number {
    return this.#calls.lastKeptAtMs(this.key);
  }

  /** Resolves once a call that was sent after that instant has won or prolonged the lease. */
  async keptAfter(atMs: number, timeoutMs = 20_000): Promise<void> {
    await eventually(() => this.lastKeptAtMs > atMs, { timeoutMs, what: "a renewal of the lease" });
  }

  /** Resolves once the signal has aborted. */
  async aborted(timeoutMs = 20_000): Promise<Abort> {
    await eventually(() => this.isAborted, { timeoutMs, what: "the abort of the signal" });
    return { beforeTtl: !this.#isOverdue, afterMs: (this.abortedAtMs ?? Number.NaN) - this.lastKeptAtMs };
  }

  async release(): Promise<boolean> {
    clearTimeout(this.#referee);
    return this.lock.release();
  }

  #expectAbort(): void {
    clearTimeout(this.#referee);
    this.#referee = setTimeout(
      () => {
        this.#isOverdue = !this.isAborted;
      },
      this.lastKeptAtMs + this.#ttlMs - performance.now(),
    );
  }
}
