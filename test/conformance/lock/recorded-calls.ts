import type { LockAttempt, LockBackend, LockLease } from "../../../src/lock/lock.ts";

/** A back-end that notes what it is called for, and when. Times are of this process's monotonic clock, in ms. */
export class RecordedCalls {
  readonly backend: LockBackend;
  /** When calls that could win or prolong a lease were sent. */
  readonly sentAtMs: number[] = [];
  /** Those who asked for a key and were answered. */
  readonly answeredOwners = new Set<string>();
  readonly #keptAtMs = new Map<string, number>();
  readonly #listeners = new Map<string, () => void>();

  constructor(inner: LockBackend) {
    const { extendMany, watch } = inner;
    this.backend = {
      name: inner.name,
      capabilities: inner.capabilities,
      acquire: async (key, options) => {
        const sentAtMs = this.#send();
        const attempt: LockAttempt = await inner.acquire(key, options);
        this.answeredOwners.add(options.owner);
        if (attempt.lease !== null) this.#keep(attempt.lease, sentAtMs);
        return attempt;
      },
      extend: async (lease) => {
        const sentAtMs = this.#send();
        const holds = await inner.extend(lease);
        if (holds) this.#keep(lease, sentAtMs);
        return holds;
      },
      release: (lease) => inner.release(lease),
      ...(extendMany === undefined
        ? {}
        : {
            extendMany: async (leases) => {
              const sentAtMs = this.#send();
              const answers = await extendMany.call(inner, leases);
              leases.forEach((lease, index) => {
                if (answers[index] === true) this.#keep(lease, sentAtMs);
              });
              return answers;
            },
          }),
      ...(watch === undefined ? {} : { watch: (waiter, wake) => watch.call(inner, waiter, wake) }),
    };
  }

  /** When the last call was sent by which the key was won or kept: from then on the server may count the ttl. */
  lastKeptAtMs(key: string): number {
    const atMs = this.#keptAtMs.get(key);
    if (atMs === undefined) throw new Error(`${key} was never won`);
    return atMs;
  }

  /** Calls `listener` whenever the key was won or kept. */
  onKept(key: string, listener: () => void): void {
    this.#listeners.set(key, listener);
  }

  #send(): number {
    const atMs = performance.now();
    this.sentAtMs.push(atMs);
    return atMs;
  }

  #keep({ key }: LockLease, sentAtMs: number): void {
    this.#keptAtMs.set(key, Math.max(sentAtMs, this.#keptAtMs.get(key) ?? 0));
    this.#listeners.get(key)?.();
  }
}
