import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { EventSource } from "../events.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockLease } from "../lock/lock.ts";
import type { Random } from "../random.ts";
import type { Guard, Renewal, Renewer } from "./guard.ts";
import { trustedUntilMs } from "./lease.ts";
import { within } from "./within.ts";

/** Leases extended by one call to the back-end. */
const EXTENSION_BATCH = 100;

/** Giving a lock back waits no longer than this for a back-end that does not keep its own time limit. */
const RELEASE_LIMIT_MS = 5_000;

export interface LockPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly lock: LockBackend;
  readonly events: EventSource;
}

/** A lock won, and when the call that won it was sent. */
export interface WonLock {
  readonly lease: LockLease;
  readonly sentAtMs: number;
}

/** One try's answer: `lock` is null when somebody excludes us. */
export type LockTry = { readonly lock: WonLock } | { readonly lock: null; readonly retryAfterMs: number };

/**
 * The calls to the lock back-end, with the limits that hold whatever a back-end does: a win that comes too late to be of use is given
 * back, a release neither throws nor hangs, many extensions travel together.
 */
export class LockCalls {
  readonly #ports: LockPorts;
  /** By it the keeper knows what can be extended together. */
  readonly #renewer: Renewer<LockLease>;

  constructor(ports: LockPorts) {
    this.#ports = ports;
    this.#renewer = {
      batch: EXTENSION_BATCH,
      renew: (leases) => this.#extend(leases),
      lostBecause: ({ key }) => `the lock on ${quoted(key)} is no longer ours`,
      label: ({ key }) => `the lock on ${quoted(key)}`,
    };
  }

  /** What a lease that rests on this lock is guarded by. */
  guard(lease: LockLease): Guard<LockLease> {
    return { ref: lease, ttlMs: lease.ttlMs, renewer: this.#renewer };
  }

  /** Throws LOCK_UNREACHABLE, also when the answer came too late for the lease to be trusted; CONFIG_INVALID. */
  async tryOnce(key: string, options: AcquireOptions): Promise<LockTry> {
    const { clock, lock } = this.#ports;
    const sentAtMs = clock.now();
    const attempt = await within<LockAttempt>(
      clock,
      options.ttlMs,
      lock.acquire(key, options),
      () => {
        throw this.#tooLate(key);
      },
      ({ lease }) => {
        if (lease !== null) void this.release(lease);
      },
    );
    if (attempt.lease === null) return { lock: null, retryAfterMs: attempt.retryAfterMs };
    if (clock.now() < trustedUntilMs(sentAtMs, attempt.lease.ttlMs)) return { lock: { lease: attempt.lease, sentAtMs } };
    await this.release(attempt.lease);
    throw this.#tooLate(key);
  }

  /**
   * Gives a lock back, or a place in the line up. Never throws and never hangs: what was not given back runs out by itself, and an event
   * tells. Returns whether it was ours until now.
   */
  async release(lease: LockLease): Promise<boolean> {
    const { clock, lock, events } = this.#ports;
    try {
      return await within(clock, Math.min(lease.ttlMs, RELEASE_LIMIT_MS), lock.release(lease), () => {
        throw new ExclaimError("LOCK_UNREACHABLE", `giving back the lock on ${quoted(lease.key)} was not answered in time`, {
          backend: lock.name,
        });
      });
    } catch (error) {
      events.emit("lock:releaseFailed", { key: lease.key, error });
      return false;
    }
  }

  async #extend(leases: readonly LockLease[]): Promise<readonly Renewal[]> {
    const { lock } = this.#ports;
    if (lock.extendMany !== undefined && leases.length > 1) {
      return (await lock.extendMany(leases)).map((holds) => (holds ? "kept" : "lost"));
    }
    return Promise.all(
      leases.map((lease) =>
        lock.extend(lease).then(
          (holds): Renewal => (holds ? "kept" : "lost"),
          (error: unknown): Renewal => ({ error }),
        ),
      ),
    );
  }

  #tooLate(key: string): ExclaimError {
    return new ExclaimError("LOCK_UNREACHABLE", `the lock on ${quoted(key)} was answered too late for its lease to be of use`, {
      backend: this.#ports.lock.name,
    });
  }
}

/** A key as it may stand in a message: one line, and no longer than a line. */
function quoted(key: string): string {
  return JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key);
}
