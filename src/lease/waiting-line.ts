/**
 * The waiters of one process, by key: only the first of each key asks the server, so that a release wakes one of them and not a
 * crowd. A lock that is given back in this very process passes to the next of them at once, without the server's help.
 */
export class WaitingLines {
  readonly #lines = new Map<string, Waiter[]>();

  /** Joins the line of a key, at its end. */
  join(key: string): Waiter {
    const line = this.#lines.get(key) ?? [];
    this.#lines.set(key, line);
    const waiter = new Waiter(() => this.#leave(key, line, waiter));
    line.push(waiter);
    if (line.length === 1) waiter.wake();
    return waiter;
  }

  /** The key was given back by this process. */
  wake(key: string): void {
    this.#lines.get(key)?.[0]?.wake();
  }

  #leave(key: string, line: Waiter[], waiter: Waiter): void {
    const index = line.indexOf(waiter);
    if (index === -1) return;
    line.splice(index, 1);
    if (line.length === 0) this.#lines.delete(key);
    else if (index === 0) line[0]?.wake();
  }
}

/** One who waits: sleeps until somebody wakes it. A wake-up that comes while it is awake is kept for the next sleep. */
export class Waiter {
  readonly leave: () => void;
  #isCalled = false;
  #onWake: (() => void) | undefined;

  constructor(leave: () => void) {
    this.leave = leave;
  }

  wake(): void {
    if (this.#onWake === undefined) this.#isCalled = true;
    else this.#onWake();
  }

  /** Calls `onWake` once, at the next wake-up or at once when one is kept. The returned function calls it off. */
  onceAwake(onWake: () => void): () => void {
    if (this.#isCalled) {
      this.#isCalled = false;
      onWake();
      return () => {};
    }
    this.#onWake = () => {
      this.#onWake = undefined;
      onWake();
    };
    return () => {
      this.#onWake = undefined;
    };
  }
}
