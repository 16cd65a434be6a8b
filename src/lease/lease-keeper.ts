import type { Clock } from "../clock.ts";
import type { EventSource } from "../events.ts";
import type { Guard, Renewal, Renewer } from "./guard.ts";
import type { Lease } from "./lease.ts";

/** A guard is renewed at a third of its ttl; after a failure a twelfth later, so that there is time for several more. */
const RENEWALS_PER_TTL = 3;
const RETRIES_PER_TTL = 12;

/** A renewal that is not answered after a sixth of the ttl is sent once more: the deadline does not wait for it. */
const SILENCES_PER_TTL = 6;

export interface LeaseKeeperPorts {
  readonly clock: Clock;
  readonly events: EventSource;
}

interface Kept {
  readonly lease: Lease;
  readonly guard: Guard;
  renewAtMs: number;
  /** A renewal is under way; `renewAtMs` is when the next one is sent if it is not answered. */
  isAsked: boolean;
}

/**
 * Renews every guard of every lease of the process at a third of its ttl, in batches, and ends leases whose deadline passes: one
 * timer for all. A renewal that fails is tried again after a pause, until the deadline; one that is answered "not yours" ends the
 * lease at once.
 */
export class LeaseKeeper {
  readonly #ports: LeaseKeeperPorts;
  readonly #kept = new Map<Lease, Kept[]>();
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => {};

  constructor(ports: LeaseKeeperPorts) {
    this.#ports = ports;
  }

  /** Adds a guard to a lease and keeps both from now on. `sentAtMs`: when the call that won it, or last renewed it, was sent. */
  keep(lease: Lease, guard: Guard, sentAtMs: number): void {
    lease.guardedBy(guard, sentAtMs);
    const renewAtMs = sentAtMs + guard.ttlMs / RENEWALS_PER_TTL;
    const kept = this.#kept.get(lease) ?? [];
    this.#kept.set(lease, kept);
    kept.push({ lease, guard, renewAtMs, isAsked: false });
    this.#wakeBy(Math.min(renewAtMs, lease.untilMs));
  }

  /** Renews it no more. The timer stays as it is: it finds nothing to do, which is cheaper than moving it for every short handler. */
  drop(lease: Lease): void {
    this.#kept.delete(lease);
  }

  /** Takes up a lease that was dropped: its guards are renewed at once, since nobody did so meanwhile. */
  resume(lease: Lease): void {
    const renewAtMs = this.#ports.clock.now();
    this.#kept.set(
      lease,
      lease.guards.map((guard) => ({ lease, guard, renewAtMs, isAsked: false })),
    );
    this.#wakeBy(renewAtMs);
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
    const due = new Map<Renewer<unknown>, Kept[]>();
    let next = Number.POSITIVE_INFINITY;
    for (const [lease, guards] of this.#kept) {
      if (lease.isLost()) {
        this.#kept.delete(lease);
        continue;
      }
      next = Math.min(next, lease.untilMs);
      for (const kept of guards) {
        // What falls due within the next pause is renewed now, so that guards won at different moments come to share one call.
        const early = kept.isAsked ? 0 : kept.guard.ttlMs / RETRIES_PER_TTL;
        if (kept.renewAtMs <= now + early) {
          kept.isAsked = true;
          kept.renewAtMs = now + kept.guard.ttlMs / SILENCES_PER_TTL;
          const sameKind = due.get(kept.guard.renewer);
          if (sameKind === undefined) due.set(kept.guard.renewer, [kept]);
          else sameKind.push(kept);
        }
        next = Math.min(next, kept.renewAtMs);
      }
    }
    if (next !== Number.POSITIVE_INFINITY) this.#wakeBy(next);
    for (const [renewer, kept] of due) {
      for (let start = 0; start < kept.length; start += renewer.batch) {
        void this.#renew(renewer, kept.slice(start, start + renewer.batch));
      }
    }
  }

  async #renew(renewer: Renewer<unknown>, batch: readonly Kept[]): Promise<void> {
    const sentAtMs = this.#ports.clock.now();
    const renewals = await this.#ask(renewer, batch);
    const now = this.#ports.clock.now();
    for (const [index, kept] of batch.entries()) {
      if (!this.#isKept(kept)) continue;
      const { lease, guard } = kept;
      const renewal = renewals[index];
      if (renewal === "lost") {
        lease.lose("LEASE_LOST", renewer.lostBecause(guard.ref));
        continue;
      }
      if (renewal === "kept") lease.renewed(guard, sentAtMs);
      kept.isAsked = false;
      kept.renewAtMs = renewal === "kept" ? sentAtMs + guard.ttlMs / RENEWALS_PER_TTL : now + guard.ttlMs / RETRIES_PER_TTL;
      this.#wakeBy(kept.renewAtMs);
    }
  }

  /** Dropped meanwhile, or dropped and taken up again: an answer that comes now says nothing about it. */
  #isKept(kept: Kept): boolean {
    return this.#kept.get(kept.lease)?.includes(kept) === true;
  }

  async #ask(renewer: Renewer<unknown>, batch: readonly Kept[]): Promise<readonly Renewal[]> {
    const refs = batch.map(({ guard }) => guard.ref);
    try {
      const renewals = await renewer.renew(refs);
      for (const [index, renewal] of renewals.entries()) {
        if (typeof renewal === "object") this.#tell(`renewing ${renewer.label(refs[index])}`, renewal.error);
      }
      return renewals;
    } catch (error) {
      this.#tell(refs.length === 1 ? `renewing ${renewer.label(refs[0])}` : `renewing ${refs.length} leases`, error);
      return batch.map(() => ({ error }));
    }
  }

  #tell(what: string, error: unknown): void {
    this.#ports.events.emit("background:failed", { what, error });
  }
}
