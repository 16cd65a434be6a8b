/**
 * The waiters of one process, by key: only the first of each key asks the server, so that a release wakes one of them and not a
 * crowd. A lock that is given back in this very process passes to the next of them at once, without the server's help.
 */
export class WaitingLines {
  readonly #lines = new Map<string, Line>();

  /** Joins the line of a key, at its end. */
  join(key: string): Waiter {
    const line = this.#lines.get(key) ?? { waiters: [], freeAtMs: 0 };
    this.#lines.set(key, line);
    const waiter = new Waiter(() => this.#leave(key, line, waiter));
    line.waiters.push(waiter);
    if (line.waiters.length === 1) waiter.wake();
    return waiter;
  }

  /** What the first of the line was told last: when the holder's lease is over, by the local clock. */
  noteHolder(key: string, freeAtMs: number): void {
    const line = this.#lines.get(key);
    if (line !== undefined) line.freeAtMs = freeAtMs;
  }

  /** The same, for those behind it; 0 when nobody knows. */
  freeAtMs(key: string): number {
    return this.#lines.get(key)?.freeAtMs ?? 0;
  }

  /** The key was given back by this process. */
  wake(key: string): void {
    this.#lines.get(key)?.waiters[0]?.wake();
  }

  #leave(key: string, { waiters }: Line, waiter: Waiter): void {
    const index = waiters.indexOf(waiter);
    if (index === -1) return;
    waiters.splice(index, 1);
    if (waiters.length === 0) this.#lines.delete(key);
    else if (index === 0) waiters[0]?.wake();
  }
}

interface Line {
  readonly waiters: Waiter[];
  freeAtMs: number;
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
