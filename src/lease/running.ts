import type { Clock } from "../clock.ts";
import type { ExclaimError } from "../errors.ts";
import type { Lease } from "./lease.ts";

/** How long handlers have after they were told to stop. */
export const ABORT_GRACE_MS = 3_000;

/** What goes on under a lease. */
export interface Work {
  readonly lease: Lease;
  /** Ends it for the process, which is about to end: one try, so that others can go on at once. Never throws. */
  abandon(): Promise<void>;
}

/** What is under way in this process: deliveries and locks, and the leases they hold. */
export class Running {
  readonly #clock: Clock;
  readonly #works = new Set<Work>();
  readonly #waiters = new Set<() => void>();
  #entered = 0;
  #stopReason: ExclaimError | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a delivery, a lock or what is just being given back, until its `leave`. */
  enter(): void {
    this.#entered += 1;
  }

  /** Once for each `enter`. */
  leave(): void {
    this.#entered -= 1;
    if (this.#entered === 0) for (const wake of this.#waiters) wake();
  }

  works(): readonly Work[] {
    return [...this.#works];
  }

  /** Set once running handlers were told to stop: a delivery on its way must not start one any more. */
  get stopReason(): ExclaimError | undefined {
    return this.#stopReason;
  }

  add(work: Work): void {
    this.#works.add(work);
  }

  remove(work: Work): void {
    this.#works.delete(work);
  }

  /** Waits for what was entered up to `drainMs`, tells the rest to stop with `reason`, and waits a last moment for those. */
  async drain(drainMs: number, reason: ExclaimError): Promise<void> {
    await this.#empty(drainMs);
    this.#stopReason = reason;
    for (const { lease } of this.#works) lease.cancel(reason);
    await this.#empty(ABORT_GRACE_MS);
  }

  #empty(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#entered === 0) return resolve();
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
