import type { Clock } from "../clock.ts";
import type { EventSource } from "../events.ts";
import type { LockBackend, LockLease } from "../lock/lock.ts";
import type { Random } from "../random.ts";

/** A lock won, and when the call that won it was sent. */
export interface GuardLock {
  readonly lease: LockLease;
  readonly sentAtMs: number;
}

export interface LockGuardPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly lock: LockBackend | undefined;
  readonly events: EventSource;
  readonly ttlMs: number;
}

/** The outer lock, if there is one: tries once, gives back without ever failing a delivery. */
export class LockGuard {
  readonly #ports: LockGuardPorts;

  constructor(ports: LockGuardPorts) {
    this.#ports = ports;
  }

  get isConfigured(): boolean {
    return this.#ports.lock !== undefined;
  }

  /** Null lock with a hint when somebody holds it. Throws LOCK_UNREACHABLE. */
  async tryLock(key: string): Promise<{ readonly lock: GuardLock } | { readonly lock: null; readonly retryAfterMs: number }> {
    const { lock, clock, random, ttlMs } = this.#ports;
    if (lock === undefined) return { lock: null, retryAfterMs: 0 };
    const sentAtMs = clock.now();
    const attempt = await lock.acquire(key, { ttlMs, owner: random.id() });
    if (attempt.lease === null) return { lock: null, retryAfterMs: attempt.retryAfterMs };
    return { lock: { lease: attempt.lease, sentAtMs } };
  }

  /** Never throws: what was not given back runs out by itself, and an event tells. */
  async release(lease: LockLease): Promise<void> {
    try {
      await this.#ports.lock?.release(lease);
    } catch (error) {
      this.#ports.events.emit("lock:releaseFailed", { key: lease.key, error });
    }
  }
}
