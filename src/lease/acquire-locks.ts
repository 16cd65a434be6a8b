import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { EventSource } from "../events.ts";
import type { LockMode } from "../lock/lock.ts";
import { Lease } from "./lease.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import type { WonLock } from "./lock-calls.ts";
import type { ContendedLock, HeldLock } from "./locks.ts";
import type { Running, Work } from "./running.ts";
import type { LockTaker } from "./take-lock.ts";

export interface AcquireLocksPorts {
  readonly clock: Clock;
  readonly events: EventSource;
  readonly taker: LockTaker;
  readonly keeper: LeaseKeeper;
  readonly running: Running;
}

/** What is wanted, checked. */
export interface LocksWish {
  readonly keys: readonly string[];
  readonly ttlMs: number;
  readonly mode: LockMode;
  readonly waitMs: number;
  /** Any of them ends the wait. */
  readonly signals: readonly AbortSignal[];
}

/**
 * Takes several keys one after another in sorted order, so that two who want the same keys cannot each wait for the other; all or none.
 * Those won early are renewed while the others are waited for.
 * Throws as `Locks.acquire` says.
 */
export async function acquireLocks(ports: AcquireLocksPorts, wish: LocksWish): Promise<LockHold | ContendedLock> {
  const endMs = ports.clock.now() + wish.waitMs;
  const keys = [...new Set(wish.keys)].sort();
  const hold = new LockHold(ports, keys);
  // A key that is lost while others are waited for cannot be had back: the wait is over then.
  const signals = [...wish.signals, hold.signal];
  try {
    for (const key of keys) {
      const waitMs = Math.max(0, endMs - ports.clock.now());
      const answer = await ports.taker.take({ ...wish, key, waitMs, signals });
      if (answer.lock === null) {
        await hold.release();
        return { status: "contended", retryAfterMs: answer.retryAfterMs, [Symbol.asyncDispose]: async () => {} };
      }
      hold.add(answer.lock);
      hold.assertHeld();
    }
    return hold;
  } catch (error) {
    await hold.release();
    throw error;
  }
}

/** Keys held together: what `exclaim.lock.acquire` returns. */
export class LockHold implements HeldLock, Work {
  readonly status = "held";
  readonly keys: readonly string[];
  readonly lease: Lease;
  readonly #ports: AcquireLocksPorts;
  readonly #locks: WonLock[] = [];
  #release: Promise<boolean> | undefined;

  constructor(ports: AcquireLocksPorts, keys: readonly string[]) {
    this.#ports = ports;
    this.keys = keys;
    this.lease = new Lease({
      clock: ports.clock,
      about: {},
      maxHoldMs: undefined,
      onLost: (reason: ExclaimError) =>
        ports.events.emit("lock:lost", { keys: this.#locks.map(({ lease }) => lease.key), reason }),
    });
    ports.running.enter();
    ports.running.add(this);
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  add(lock: WonLock): void {
    this.#locks.push(lock);
    this.#ports.keeper.keep(this.lease, this.#ports.taker.guard(lock), lock.sentAtMs);
  }

  assertHeld(): void {
    if (this.#release !== undefined) throw new ExclaimError("CLAIM_ENDED", "the lock was released: nothing is held any more");
    this.lease.assertHeld();
  }

  release(): Promise<boolean> {
    this.#release ??= this.#releaseOnce();
    return this.#release;
  }

  async #releaseOnce(): Promise<boolean> {
    const { taker, keeper, running } = this.#ports;
    const wasHeld = !this.lease.isLost();
    keeper.drop(this.lease);
    const released = await Promise.all(this.#locks.map((lock) => taker.release(lock)));
    running.remove(this);
    running.leave();
    return wasHeld && released.every(Boolean);
  }

  async abandon(): Promise<void> {
    await this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
