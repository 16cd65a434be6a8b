import type { Clock } from "../clock.ts";
import type { Outage } from "./outage.ts";

/** For so long an outage may keep an outbox from being drained. */
const DRAIN_LIMIT_MS = 10_000;

interface Waiter {
  readonly sinceMs: number;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** Who waits until nothing in the outbox is due. */
export class Drains {
  readonly #clock: Clock;
  #waiters: readonly Waiter[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isWaitedFor(): boolean {
    return this.#waiters.length > 0;
  }

  add(): Promise<void> {
    return new Promise((done, fail) => {
      this.#waiters = [...this.#waiters, { sinceMs: this.#clock.now(), done, fail }];
    });
  }

  /** A turn of the dispatcher begins. Who comes later waits for the next: what it published may not be seen in this one. */
  begin(): readonly Waiter[] {
    return this.#waiters;
  }

  /** The turn ended, and found nothing due or outages. */
  end(turn: readonly Waiter[], isIdle: boolean, outages: readonly Outage[]): void {
    for (const waiter of turn) {
      const outage = outages.find(({ lasting }) => lasting !== undefined && this.#isTooLong(waiter, lasting.sinceMs));
      if (isIdle) waiter.done();
      else if (outage !== undefined) waiter.fail(outage.lasting?.error);
      else continue;
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
    }
  }

  /** Nobody waits any more. */
  fail(error: unknown): void {
    for (const waiter of this.#waiters) waiter.fail(error);
    this.#waiters = [];
  }

  #isTooLong(waiter: Waiter, sinceMs: number): boolean {
    return this.#clock.now() - Math.max(waiter.sinceMs, sinceMs) >= DRAIN_LIMIT_MS;
  }
}
