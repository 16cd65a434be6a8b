import { type Clock, systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockLease, LockMode, LockWaiter } from "./lock.ts";

/** From this many keys on, the table is searched for what ran out. */
const FIRST_SWEEP_SIZE = 1_024;

export interface MemoryLockOptions {
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/** A holder, or a waiter's place in the line, by its owner. */
interface Entry {
  readonly mode: LockMode;
  endsAt: number;
}

interface KeyState {
  readonly holders: Map<string, Entry>;
  /** In the order in which they came; a Map keeps it. */
  readonly line: Map<string, Entry>;
  readonly watchers: Set<{ readonly waiter: LockWaiter; readonly wake: () => void }>;
}

/**
 * A lock for one process, and the reference of what every other back-end does.
 * Shape: each call makes a table of its own; two back-ends know nothing of each other's keys.
 * What if the process dies: every lease is gone with it.
 * Throws CONFIG_INVALID (from `acquire`): `ttlMs` is not a positive number.
 */
export function memoryLock(options: MemoryLockOptions = {}): LockBackend {
  const { clock = systemClock } = options;
  const keys = new Map<string, KeyState>();
  let sweepSize = FIRST_SWEEP_SIZE;

  /** A key without those whose time is over; made when it is not there. */
  function stateOf(key: string): KeyState {
    const state = keys.get(key) ?? { holders: new Map(), line: new Map(), watchers: new Set() };
    keys.set(key, state);
    for (const entries of [state.holders, state.line]) {
      for (const [owner, { endsAt }] of entries) if (clock.now() >= endsAt) entries.delete(owner);
    }
    return state;
  }

  function forgetIfEmpty(key: string, state: KeyState): void {
    const isEmpty = state.holders.size + state.line.size + state.watchers.size === 0;
    if (isEmpty && keys.get(key) === state) keys.delete(key);
  }

  /** Holders that never came back must not fill the memory; doubling the limit keeps the search cheap per acquisition. */
  function sweep(): void {
    if (keys.size < sweepSize) return;
    for (const key of [...keys.keys()]) forgetIfEmpty(key, stateOf(key));
    sweepSize = Math.max(FIRST_SWEEP_SIZE, keys.size * 2);
  }

  /** Only those who may win now, so that a crowd sleeps on. */
  function wakeNext(state: KeyState): void {
    for (const { waiter, wake } of [...state.watchers]) if (mayWin(state, waiter.owner, waiter.mode)) wake();
  }

  function acquireNow(key: string, { ttlMs, owner, mode = "exclusive", queue = false }: AcquireOptions): LockAttempt {
    assertTtl(ttlMs);
    sweep();
    const state = stateOf(key);
    const endsAt = clock.now() + ttlMs;
    if (mayWin(state, owner, mode)) {
      state.line.delete(owner);
      state.holders.set(owner, { mode, endsAt });
      return { lease: { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) } };
    }
    if (queue) {
      const place = state.line.get(owner) ?? { mode, endsAt };
      place.endsAt = endsAt;
      state.line.set(owner, place);
    }
    const leftMs = [...state.holders.values()].map((holder) => holder.endsAt - clock.now());
    return { lease: null, retryAfterMs: Math.max(0, Math.ceil(Math.max(0, ...leftMs))) };
  }

  return {
    name: "memory",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: true, push: true },

    acquire: async (key, acquisition) => acquireNow(key, acquisition),

    async extend({ key, owner, ttlMs }: LockLease) {
      const state = stateOf(key);
      const holder = state.holders.get(owner);
      if (holder !== undefined) holder.endsAt = clock.now() + ttlMs;
      forgetIfEmpty(key, state);
      return holder !== undefined;
    },

    async release({ key, owner }: LockLease) {
      const state = stateOf(key);
      const wasHeld = state.holders.delete(owner);
      if (state.line.delete(owner) || wasHeld) wakeNext(state);
      forgetIfEmpty(key, state);
      return wasHeld;
    },

    async watch(waiter, wake) {
      const state = stateOf(waiter.key);
      const watcher = { waiter, wake };
      state.watchers.add(watcher);
      return () => {
        state.watchers.delete(watcher);
        forgetIfEmpty(waiter.key, state);
      };
    },
  };
}

/** Nobody holds it against this owner, and nobody waits before it. */
function mayWin(state: KeyState, owner: string, mode: LockMode): boolean {
  for (const [holder, entry] of state.holders) if (holder !== owner && excludes(entry.mode, mode)) return false;
  if (state.holders.has(owner)) return true;
  for (const [waiter, entry] of state.line) {
    if (waiter === owner) return true;
    if (excludes(entry.mode, mode)) return false;
  }
  return true;
}

function excludes(one: LockMode, other: LockMode): boolean {
  return one === "exclusive" || other === "exclusive";
}

function assertTtl(ttlMs: number): void {
  if (Number.isFinite(ttlMs) && ttlMs > 0) return;
  throw new ExclaimError("CONFIG_INVALID", `The ttl of a lock is a positive number of ms, not ${ttlMs}.`, {
    backend: "memory",
  });
}
