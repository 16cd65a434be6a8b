import type { Clock } from "../clock.ts";
import { NoAnswer } from "./postgres-pool.ts";

/** One limit for all that a call does: waiting for a connection, asking, asking again. */
export class TimeLimit {
  readonly timeoutMs: number;
  readonly #clock: Clock;
  readonly #endsAt: number;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.timeoutMs = timeoutMs;
    this.#endsAt = clock.now() + timeoutMs;
  }

  get isOver(): boolean {
    return this.#clock.now() >= this.#endsAt;
  }

  /** Calls `end` when time is over. Returns what takes that back. */
  after(end: () => void): () => void {
    // A timer that is late, after a stall of the event loop, may find the answer waiting in the socket: that is read first.
    let cancel = this.#clock.after(
      this.#endsAt - this.#clock.now(),
      () => {
        cancel = this.#clock.after(0, end, true);
      },
      true,
    );
    return () => cancel();
  }

  /** What the work comes to. Throws NoAnswer when time is over before. */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(() => reject(this.noAnswer("no answer")));
      work.then(resolve, reject).finally(cancel);
    });
  }

  noAnswer(what: string): NoAnswer {
    return new NoAnswer(`${what} within ${Math.round(this.timeoutMs)} ms`);
  }
}
