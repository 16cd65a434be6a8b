import { isExclaimError } from "../../src/errors.ts";
import { EventSource } from "../../src/events.ts";
import { Holding } from "../../src/lease/holding.ts";
import type { AcquireLockOptions, ContendedLock, HeldLock } from "../../src/lease/locks.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import type { Random } from "../../src/random.ts";
import { ManualClock, settle } from "../support/manual-clock.ts";
import { type LockScript, type RecordedLock, recordedLock } from "./recorded-lock.ts";

export const TTL_MS = 3_000;

/** A process that holds and waits for locks, over a clock that the test moves. */
export interface OpenHolding {
  readonly clock: ManualClock;
  readonly lock: RecordedLock;
  readonly holding: Holding;
  readonly events: EventSource;
  acquire(keys: string | readonly string[], options?: AcquireLockOptions): Promise<HeldLock | ContendedLock>;
  /** As `acquire`, where a lock is expected. */
  hold(keys: string | readonly string[], options?: AcquireLockOptions): Promise<HeldLock>;
  /** Another process over the same lock. */
  other(): OpenHolding;
}

export function openHolding(script: LockScript & { readonly random?: Random } = {}): OpenHolding {
  const clock = new ManualClock();
  return openOver(clock, recordedLock(clock, script), script.random ?? drawing(0.5));
}

function openOver(clock: ManualClock, lock: RecordedLock, random: Random): OpenHolding {
  const events = new EventSource();
  const holding = new Holding({ clock, random, events, ttlMs: TTL_MS, lock: lock as LockBackend });
  const acquire: OpenHolding["acquire"] = (keys, options = {}) =>
    holding.acquire(typeof keys === "string" ? [keys] : keys, { ttlMs: TTL_MS, ...options });
  return {
    clock,
    lock,
    holding,
    events,
    acquire,
    async hold(keys, options) {
      const lock = await acquire(keys, options);
      if (lock.status !== "held") throw new Error("the lock is contended");
      return lock;
    },
    other: () => openOver(clock, lock, random),
  };
}

let ids = 0;

/** Ids that nobody else draws, and always the same fraction. */
export function drawing(fraction: number): Random {
  return {
    id() {
      ids += 1;
      return `owner-${ids}`;
    },
    fraction: () => fraction,
  };
}

/** A promise that the test settles. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** What came of it so far: its value's status, the code it threw, or `pending`. */
export async function stateOf(work: Promise<{ readonly status: string } | unknown>): Promise<string> {
  let state = "pending";
  work.then(
    (value) => {
      state = typeof value === "object" && value !== null && "status" in value ? String(value.status) : "done";
    },
    (error: unknown) => {
      state = codeOf(error);
    },
  );
  await settle();
  return state;
}

/** The code that it throws; `nothing` when it does not throw. */
export async function rejectionOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => "nothing", codeOf);
}

function codeOf(error: unknown): string {
  return isExclaimError(error) ? error.code : String(error);
}
