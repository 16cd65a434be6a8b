import type { Clock } from "../clock.ts";
import type { ExclaimError } from "../errors.ts";
import type { Lease } from "./lease.ts";

/** How long handlers have after they were told to stop. */
export const ABORT_GRACE_MS = 3_000;

/** What is under way in this process: deliveries, and the leases they hold. */
export class Running {
  readonly #clock: Clock;
  readonly #leases = new Set<Lease>();
  readonly #waiters = new Set<() => void>();
  #deliveries = 0;
  #stopReason: ExclaimError | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a delivery until the returned function is called. */
  enter(): () => void {
    this.#deliveries += 1;
    return () => {
      this.#deliveries -= 1;
      if (this.#deliveries === 0) for (const wake of this.#waiters) wake();
    };
  }

  leases(): readonly Lease[] {
    return [...this.#leases];
  }

  /** Set once running handlers were told to stop: a delivery on its way must not start one any more. */
  get stopReason(): ExclaimError | undefined {
    return this.#stopReason;
  }

  add(lease: Lease): void {
    this.#leases.add(lease);
  }

  remove(lease: Lease): void {
    this.#leases.delete(lease);
  }

  /** Waits for the deliveries up to `drainMs`, tells the rest to stop with `reason`, and waits a last moment for those. */
  async drain(drainMs: number, reason: ExclaimError): Promise<void> {
    await this.#empty(drainMs);
    this.#stopReason = reason;
    for (const lease of this.#leases) lease.cancel(reason);
    await this.#empty(ABORT_GRACE_MS);
  }

  #empty(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#deliveries === 0) return resolve();
      const finish = (): void => {
        cancel();
        this.#waiters.delete(finish);
        resolve();
      };
      const cancel = this.#clock.after(withinMs, finish, true);
      this.#waiters.add(finish);
    });
  }
}
