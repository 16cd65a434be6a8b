import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { EventSource } from "../events.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { LockBackend, LockLease } from "../lock/lock.ts";
import type { Lease } from "./lease.ts";

/** Leases renewed by one statement. */
const RENEWAL_BATCH = 500;

export interface LeaseKeeperPorts {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly lock: LockBackend | undefined;
  readonly events: EventSource;
  readonly ttlMs: number;
}

interface Kept {
  renewAtMs: number;
  renewing: boolean;
}

/**
 * Renews every lease of the process at a third of its ttl, in batches, and ends those whose deadline passes: one timer for all.
 * A renewal that fails is tried again after a pause, until the deadline; one that is answered "not yours" ends the lease at once.
 */
export class LeaseKeeper {
  readonly #ports: LeaseKeeperPorts;
  readonly #renewEveryMs: number;
  readonly #retryPauseMs: number;
  readonly #kept = new Map<Lease, Kept>();
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => {};

  constructor(ports: LeaseKeeperPorts) {
    this.#ports = ports;
    this.#renewEveryMs = ports.ttlMs / 3;
    this.#retryPauseMs = ports.ttlMs / 12;
  }

  /** `sentAtMs`: when the call that won or last renewed it was sent. */
  keep(lease: Lease, sentAtMs: number): void {
    const renewAtMs = sentAtMs + this.#renewEveryMs;
    this.#kept.set(lease, { renewAtMs, renewing: false });
    this.#wakeBy(Math.min(renewAtMs, lease.untilMs));
  }

  /** The timer stays as it is: it finds nothing to do, which is cheaper than moving it for every short handler. */
  drop(lease: Lease): void {
    this.#kept.delete(lease);
  }

  stop(): void {
    this.#cancelTimer();
    this.#kept.clear();
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
  }

  #wakeBy(atMs: number): void {
    if (atMs >= this.#wakeAtMs) return;
    this.#cancelTimer();
    this.#wakeAtMs = atMs;
    this.#cancelTimer = this.#ports.clock.after(Math.max(0, atMs - this.#ports.clock.now()), () => this.#wake());
  }

  #wake(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    const now = this.#ports.clock.now();
    // What falls due within the next pause is renewed now, so that leases won at different moments come to share one statement.
    const dueBefore = now + this.#retryPauseMs;
    const due: Lease[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const [lease, kept] of this.#kept) {
      if (lease.isLost()) {
        this.#kept.delete(lease);
        continue;
      }
      if (!kept.renewing && kept.renewAtMs <= dueBefore) {
        kept.renewing = true;
        due.push(lease);
      }
      next = Math.min(next, lease.untilMs, kept.renewing ? Number.POSITIVE_INFINITY : kept.renewAtMs);
    }
    if (next !== Number.POSITIVE_INFINITY) this.#wakeBy(next);
    for (let start = 0; start < due.length; start += RENEWAL_BATCH) void this.#renew(due.slice(start, start + RENEWAL_BATCH));
  }

  async #renew(leases: readonly Lease[]): Promise<void> {
    const [inLedger, inLock] = await Promise.all([
      this.#renewInLedger(leases),
      Promise.all(leases.map((lease) => this.#extendLocks(lease))),
    ]);
    const now = this.#ports.clock.now();
    leases.forEach((lease, index) => {
      const kept = this.#kept.get(lease);
      if (kept === undefined) return;
      kept.renewing = false;
      const pause = inLedger[index] && inLock[index] ? this.#renewEveryMs : this.#retryPauseMs;
      kept.renewAtMs = now + pause;
      this.#wakeBy(Math.min(kept.renewAtMs, lease.untilMs));
    });
  }

  /** For each lease whether it was renewed, or needs no more of it. */
  async #renewInLedger(leases: readonly Lease[]): Promise<readonly boolean[]> {
    const sentAtMs = this.#ports.clock.now();
    try {
      const answers = await this.#ports.ledger.renew(
        leases.map((lease) => lease.claim),
        this.#ports.ttlMs,
      );
      return leases.map((lease, index) => {
        const answer = answers[index];
        if (answer === "done") lease.renewed(sentAtMs);
        else if (answer === "lost" && this.#kept.has(lease)) lease.lose(lost(lease, "the ledger gave the claim a newer token"));
        return answer === "done" || answer === "lost";
      });
    } catch (error) {
      this.#ports.events.emit("background:failed", { what: `renewing ${leases.length} leases`, error });
      return leases.map(() => false);
    }
  }

  async #extendLocks(lease: Lease): Promise<boolean> {
    const extended = await Promise.all(lease.locks.map((lock) => this.#extendLock(lease, lock)));
    return extended.every(Boolean);
  }

  async #extendLock(lease: Lease, lock: LockLease): Promise<boolean> {
    const sentAtMs = this.#ports.clock.now();
    try {
      if (await this.#ports.lock?.extend(lock)) lease.lockExtended(lock, sentAtMs);
      else if (this.#kept.has(lease)) lease.lose(lost(lease, `the lock on "${lock.key}" is no longer ours`));
      return true;
    } catch (error) {
      this.#ports.events.emit("background:failed", { what: `extending the lock on "${lock.key}"`, error });
      return false;
    }
  }
}

function lost(lease: Lease, why: string): ExclaimError {
  return new ExclaimError("LEASE_LOST", why, { claimant: lease.claim.claimant, pool: lease.claim.pool });
}
