import { type Clock, systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { LockBackend, LockLease } from "./lock.ts";

/** From this many entries on, the table is searched for leases that ran out. */
const FIRST_SWEEP_SIZE = 1_024;

export interface MemoryLockOptions {
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock for one process, and the reference of what every other back-end does.
 * Shape: each call makes a table of its own; two back-ends know nothing of each other's keys.
 * What if the process dies: every lease is gone with it.
 * Throws CONFIG_INVALID (from `acquire`): `ttlMs` is not a positive number.
 */
export function memoryLock(options: MemoryLockOptions = {}): LockBackend {
  const { clock = systemClock } = options;
  const entries = new Map<string, { owner: string; endsAt: number }>();
  let sweepSize = FIRST_SWEEP_SIZE;

  /** The entry of a key whose lease still runs. */
  function live(key: string): { owner: string; endsAt: number } | undefined {
    const entry = entries.get(key);
    if (entry === undefined || clock.now() < entry.endsAt) return entry;
    entries.delete(key);
    return undefined;
  }

  /** Holders that never came back must not fill the memory; doubling the limit keeps the search cheap per acquisition. */
  function sweep(): void {
    if (entries.size < sweepSize) return;
    for (const key of entries.keys()) live(key);
    sweepSize = Math.max(FIRST_SWEEP_SIZE, entries.size * 2);
  }

  return {
    name: "memory",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false },

    async acquire(key, { ttlMs, owner }) {
      if (!(Number.isFinite(ttlMs) && ttlMs > 0)) {
        throw new ExclaimError("CONFIG_INVALID", `The ttl of a lock is a positive number of ms, not ${ttlMs}.`, {
          backend: "memory",
        });
      }
      const holder = live(key);
      if (holder !== undefined && holder.owner !== owner) {
        return { lease: null, retryAfterMs: Math.max(1, Math.ceil(holder.endsAt - clock.now())) };
      }
      sweep();
      entries.set(key, { owner, endsAt: clock.now() + ttlMs });
      return { lease: { key, owner, ttlMs } };
    },

    async extend({ key, owner, ttlMs }: LockLease) {
      const holder = live(key);
      if (holder?.owner !== owner) return false;
      holder.endsAt = clock.now() + ttlMs;
      return true;
    },

    async release({ key, owner }: LockLease) {
      if (live(key)?.owner !== owner) return false;
      return entries.delete(key);
    },
  };
}
