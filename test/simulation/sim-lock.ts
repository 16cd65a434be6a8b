import type { LockBackend, LockLease } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimProcess } from "./sim-process.ts";

/** The lock server: has a clock of its own, may forget everything, and its monitor tells what it did. */
export class SimLockServer {
  readonly #scheduler: Scheduler;
  readonly #chronicle: Chronicle;
  readonly #clock: { now: () => number; after: () => () => void };
  #backend: LockBackend;
  #aheadMs = 0;
  #commands = 0;
  /** Who had a key last, as the answers tell, and until when. */
  readonly #holders = new Map<string, { readonly owner: string; untilMs: number }>();

  constructor(scheduler: Scheduler, chronicle: Chronicle) {
    this.#scheduler = scheduler;
    this.#chronicle = chronicle;
    this.#clock = { now: () => scheduler.nowMs + this.#aheadMs, after: () => () => {} };
    this.#backend = memoryLock({ clock: this.#clock });
  }

  get capabilities() {
    return this.#backend.capabilities;
  }

  forget(): void {
    this.#backend = memoryLock({ clock: this.#clock });
    this.#holders.clear();
  }

  jump(byMs: number): void {
    this.#aheadMs += byMs;
  }

  /** Keys that a process, whose owners' names begin with its own, has alone still at an instant. */
  leftBy(process: string, atMs: number): string[] {
    const now = atMs + this.#aheadMs;
    const left = [...this.#holders].filter(([, { owner, untilMs }]) => owner.startsWith(`${process}#`) && untilMs > now);
    return left.map(([key]) => key);
  }

  /** The lock as one process sees it. */
  backendOf(process: SimProcess, network: Network): LockBackend {
    const ask = <T>(what: () => string, act: () => Promise<T>): Promise<T> =>
      network.call({ from: process, to: "lock", what, act });
    /** Who of this process got a key last: what rests on the key now is that one's. */
    const newest = new Map<string, string>();
    return {
      name: "simulated",
      capabilities: this.capabilities,
      acquire: async (key, options) => {
        const sentAt = process.nowMs();
        const attempt = await ask(
          () => `asks for the lock ${key}`,
          async () => {
            const attempt = await this.#backend.acquire(key, options);
            if (attempt.lease !== null) this.#tell("acquired", attempt.lease);
            return attempt;
          },
        );
        if (attempt.lease !== null) {
          newest.set(key, attempt.lease.owner);
          this.#leased(process, attempt.lease, sentAt);
        }
        return attempt;
      },
      extend: async (lease) => {
        const sentAt = process.nowMs();
        const claim = process.restingOn.get(lease.key);
        const isOurs = await ask(
          () => `extends the lock ${lease.key}`,
          async () => {
            const holds = await this.#backend.extend(lease);
            if (holds) this.#tell("extended", lease);
            return holds;
          },
        );
        if (isOurs) this.#leased(process, lease, sentAt);
        // What rests on the lock must not be trusted any more, whatever the ledger says; unless that is over, and another claim rests on it.
        const isNewest = newest.get(lease.key) === lease.owner;
        if (!isOurs && isNewest && claim !== undefined && claim === process.restingOn.get(lease.key)) {
          this.#chronicle.add({ at: process.nowMs(), by: process.name, what: "leased", ...claim, sentAt, ttlMs: 0 });
        }
        return isOurs;
      },
      release: (lease) =>
        ask(
          () => `gives back the lock ${lease.key}`,
          async () => {
            const wasHeld = await this.#backend.release(lease);
            if (wasHeld) this.#tell("released", lease);
            return wasHeld;
          },
        ),
      watch: (waiter, wake) => {
        const wakeLater = (): void => {
          this.#scheduler.at(this.#scheduler.nowMs + network.latencyMs(process), wake, process);
        };
        return ask(
          () => `watches the lock ${waiter.key}`,
          async () => (await this.#backend.watch?.(waiter, wakeLater)) ?? (() => {}),
        );
      },
    };
  }

  /** The process may trust the lock until then. */
  #leased(process: SimProcess, { key, ttlMs }: LockLease, sentAt: number): void {
    this.#chronicle.add({ at: process.nowMs(), by: process.name, what: "leased", resource: lockName(key), sentAt, ttlMs });
  }

  /** Several hold a shared key at once: what was there before says nothing then. */
  #tell(did: "acquired" | "extended" | "released", { key, owner, ttlMs, mode }: LockLease): void {
    if (mode === "shared") return;
    const now = this.#clock.now();
    const known = this.#holders.get(key);
    const was = known !== undefined && known.untilMs > now ? known.owner : null;
    if (did === "released") this.#holders.delete(key);
    else this.#holders.set(key, { owner, untilMs: now + ttlMs });
    this.#commands += 1;
    const at = this.#scheduler.nowMs;
    this.#chronicle.add({ at, by: "monitor", what: "lock", n: this.#commands, node: "lock-1", key, owner, did, was, ttlMs });
  }
}

/** How histories name a lock that a process relies on. */
export function lockName(key: string): string {
  return `lock ${key}`;
}
