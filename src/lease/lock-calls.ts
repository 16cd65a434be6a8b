import type { Clock } from "../clock.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import type { EventSource } from "../events.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockLease } from "../lock/lock.ts";
import type { Random } from "../random.ts";
import type { Guard, Renewal, Renewer } from "./guard.ts";
import { trustedUntilMs } from "./lease.ts";
import type { Running } from "./running.ts";
import { throwIfAborted } from "./sleep.ts";
import { within } from "./within.ts";

/** Leases extended by one call to the back-end. */
const EXTENSION_BATCH = 100;

/** A back-end that does not keep its own time limit is not waited for longer than this, nor than the ttl that the call is about. */
export const CALL_LIMIT_MS = 5_000;

export interface LockPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly lock: LockBackend;
  readonly events: EventSource;
  /** Counts what is still being given back. */
  readonly running: Running;
}

/** A lock won, and when the call that won it was sent. */
export interface WonLock {
  readonly lease: LockLease;
  readonly sentAtMs: number;
}

/** One try's answer: `lock` is null when somebody excludes us. */
export type LockTry = { readonly lock: WonLock } | { readonly lock: null; readonly retryAfterMs: number };

/** A try that was not answered as it should be. */
export interface FailedTry {
  /** LOCK_UNREACHABLE. */
  readonly error: ExclaimError;
  /** What it may have won is still being given back, by its owner: if that owner asked again, it would lose what it wins then. */
  readonly isOwnerSpent: boolean;
}

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
      // One that hangs must not keep the answers of others back, which are calls of their own.
      batch: ports.lock.extendMany === undefined ? 1 : EXTENSION_BATCH,
      renew: (leases) => this.#extend(leases),
      lostBecause: ({ key }) => `the lock on ${quoted(key)} is no longer ours`,
      label: ({ key }) => `the lock on ${quoted(key)}`,
    };
  }

  /** What a lease that rests on this lock is guarded by. */
  guard(lease: LockLease): Guard<LockLease> {
    return { ref: lease, ttlMs: lease.ttlMs, renewer: this.#renewer };
  }

  /** Ends at once when a signal is aborted. Throws ABORTED, or the signal's own reason: nothing is left then; CONFIG_INVALID. */
  async tryOnce(key: string, options: AcquireOptions, signals: readonly AbortSignal[]): Promise<LockTry | FailedTry> {
    throwIfAborted(signals);
    const { clock } = this.#ports;
    const sentAtMs = clock.now();
    const asked = this.#acquire(key, options);
    const limitMs = callLimitMs(options.ttlMs);
    let attempt: LockAttempt | undefined;
    try {
      attempt = await within<LockAttempt | undefined>(asked, { clock, limitMs, signals, late: () => undefined });
    } catch (error) {
      if (isExclaimError(error) && error.code !== "LOCK_UNREACHABLE") throw error;
      return { error: this.#unreachable(key, error), isOwnerSpent: false };
    }
    if (attempt?.lease === null) return { lock: null, retryAfterMs: attempt.retryAfterMs };
    if (attempt !== undefined && clock.now() < trustedUntilMs(sentAtMs, attempt.lease.ttlMs)) {
      return { lock: { lease: attempt.lease, sentAtMs } };
    }
    void this.#undo(asked, leaseOf(key, options));
    throwIfAborted(signals);
    return { error: this.#unreachable(key, new Error("the answer came too late, or not at all")), isOwnerSpent: true };
  }

  /**
   * Gives a lock back, or a place in the line up. Never throws and never hangs: what was not given back runs out by itself, and an event
   * tells. Returns whether it was ours until now.
   */
  async release(lease: LockLease): Promise<boolean> {
    const { clock, lock, events } = this.#ports;
    const late = (): never => {
      throw this.#unreachable(lease.key, new Error("giving it back was not answered in time"));
    };
    try {
      return await within<boolean>(lock.release(lease), { clock, limitMs: callLimitMs(lease.ttlMs), late });
    } catch (error) {
      events.emit("lock:releaseFailed", { key: lease.key, error });
      return false;
    }
  }

  /** `release` where nobody waits for it. */
  async giveUp(lease: LockLease): Promise<void> {
    this.#ports.running.enter();
    await this.release(lease);
    this.#ports.running.leave();
  }

  /** A back-end that throws at once rejects as well. */
  async #acquire(key: string, options: AcquireOptions): Promise<LockAttempt> {
    return this.#ports.lock.acquire(key, options);
  }

  /** Gives back what a try may bring that nobody waits for any more: when it is answered; if that takes too long now, and then again. */
  async #undo(asked: Promise<LockAttempt>, wanted: LockLease): Promise<void> {
    const { clock, running } = this.#ports;
    running.enter();
    const answered = asked.then((attempt) => attempt.lease ?? wanted).catch(() => wanted);
    const limitMs = callLimitMs(wanted.ttlMs);
    const lease = await within(answered, { clock, limitMs, late: () => wanted, tooLate: (late) => void this.giveUp(late) });
    await this.release(lease);
    running.leave();
  }

  async #extend(leases: readonly LockLease[]): Promise<readonly Renewal[]> {
    const { lock } = this.#ports;
    const answers =
      lock.extendMany !== undefined && leases.length > 1
        ? await lock.extendMany(leases)
        : await Promise.all(leases.map((lease) => lock.extend(lease)));
    return answers.map((holds) => (holds ? "kept" : "lost"));
  }

  /** What a back-end says itself, or what it did instead of saying it. */
  #unreachable(key: string, error: unknown): ExclaimError {
    if (isExclaimError(error)) return error;
    const { name } = this.#ports.lock;
    const cause = error instanceof Error ? error.message : String(error);
    return new ExclaimError("LOCK_UNREACHABLE", `the lock on ${quoted(key)} could not be asked for or given back: ${cause}`, {
      backend: name,
      nodes: [{ node: name, cause }],
      cause: error,
    });
  }
}

/** What an acquisition wins, or the place in the line that it keeps. */
export function leaseOf(key: string, { owner, ttlMs, mode }: AcquireOptions): LockLease {
  return { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) };
}

function callLimitMs(ttlMs: number): number {
  return Math.min(ttlMs, CALL_LIMIT_MS);
}

/** A key as it may stand in a message: one line, and no longer than a line. */
export function quoted(key: string): string {
  return JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key);
}
