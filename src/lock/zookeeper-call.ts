import type { Clock } from "../clock.ts";

/** One call to the back-end, or work that goes on in the background. */
export class Call {
  readonly startedAt: number;
  /** Requests that the server has not answered yet. */
  unanswered = 0;
  #isOver = false;
  readonly #onOver = new Set<() => void>();

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Calls `listener` once the call is over, however it ended. The returned function calls that off. */
  onOver(listener: () => void): () => void {
    this.#onOver.add(listener);
    return () => this.#onOver.delete(listener);
  }

  /** What goes on for a call that is over does nothing more. */
  assertRunning(): void {
    if (this.#isOver) throw new Error("the call was over before this was answered");
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const listener of this.#onOver) listener();
    this.#onOver.clear();
  }
}

/** Nothing was heard within the time limit of a call. */
export class Silence extends Error {
  readonly wasUnanswered: boolean;

  constructor(limitMs: number, wasUnanswered: boolean) {
    super(`no answer within ${Math.round(limitMs)} ms`);
    this.wasUnanswered = wasUnanswered;
  }
}

/**
 * Runs a call that ends within its time limit, whatever the client does.
 * Throws what `work` throws; `Silence` at the limit: then the call is over, and `work` gets no further than its next step.
 */
export function limited<T>(clock: Clock, limitMs: number, work: (call: Call) => Promise<T>): Promise<T> {
  const call = new Call(clock.now());
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      if (call.isOver) return;
      const silence = new Silence(limitMs, call.unanswered > 0);
      call.end();
      reject(silence);
    };
    // A timer that is late, after a stall of the event loop, may find answers waiting in the socket: they are read first.
    const cancel = clock.after(limitMs, () => clock.after(0, giveUp));
    work(call)
      .then(resolve, reject)
      .finally(() => {
        cancel();
        call.end();
      });
  });
}
