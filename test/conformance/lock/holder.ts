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
    return new Hold(lock, key, this.#calls, performance.now());
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

/** A key that is held, and when that ended. Times are of this process's monotonic clock, in ms. */
export class Hold {
  readonly lock: HeldLock;
  readonly key: string;
  readonly wonAtMs: number;
  abortedAtMs: number | undefined;
  readonly #calls: RecordedCalls;

  constructor(lock: HeldLock, key: string, calls: RecordedCalls, wonAtMs: number) {
    this.lock = lock;
    this.key = key;
    this.wonAtMs = wonAtMs;
    this.#calls = calls;
    lock.signal.addEventListener("abort", () => {
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

  /** Resolves once the signal has aborted, with how long that was after the sending of the last call that won or kept the lease. */
  async aborted(timeoutMs = 30_000): Promise<number> {
    await eventually(() => this.isAborted, { timeoutMs, what: "the abort of the signal" });
    return (this.abortedAtMs ?? Number.NaN) - this.lastKeptAtMs;
  }
}
