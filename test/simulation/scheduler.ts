/** Whoever an event is for: one that is gone gets none, one that is busy gets it later. */
export interface Recipient {
  readonly isAlive: boolean;
  readonly busyUntilMs: number;
  /** Called before an event is handed over. False: it must wait, or is never handed over. */
  admit(): boolean;
}

/** Something that is to happen. Without `run` it was called off. */
export interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly recipient: Recipient | undefined;
  run: (() => void) | undefined;
}

/** What follows on this runs with the microtasks, and costs less than queueMicrotask(). */
const DONE = Promise.resolve();

/**
 * Virtual time: runs what is due in the order of its instant, one thing at a time, and lets everything that follows from it by
 * microtasks happen before the next.
 */
export class Scheduler {
  nowMs = 0;
  /** How many events were run. */
  events = 0;
  #order = 0;
  readonly #heap: Entry[] = [];

  /** Runs `run` at `atMs`; for a recipient only if it still lives then, and not while it is busy. */
  at(atMs: number, run: () => void, recipient?: Recipient): Entry {
    this.#order += 1;
    const entry: Entry = { atMs: Math.max(atMs, this.nowMs), order: this.#order, recipient, run };
    this.#push(entry);
    return entry;
  }

  /** Runs until `isOver`, or until nothing is left. Resolves with whether it is over. */
  run(isOver: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          // A tick callback runs only once no microtask is left, so all that follows from this event happens first.
          if (!isOver() && this.#runNext()) void DONE.then(again);
          else resolve(isOver());
        } catch (error) {
          reject(error);
        }
      };
      const again = (): void => process.nextTick(step);
      again();
    });
  }

  #runNext(): boolean {
    for (;;) {
      const entry = this.#pop();
      if (entry === undefined) return false;
      const { run, recipient } = entry;
      if (run === undefined) continue;
      this.nowMs = entry.atMs;
      if (recipient !== undefined) {
        if (!recipient.isAlive) continue;
        if (recipient.busyUntilMs > this.nowMs || !recipient.admit()) {
          if (recipient.isAlive) this.#later(entry, recipient.busyUntilMs);
          continue;
        }
      }
      this.events += 1;
      entry.run = undefined;
      run();
      return true;
    }
  }

  /** What comes while a process is stopped waits in the order in which it came. */
  #later(entry: Entry, atMs: number): void {
    this.#order += 1;
    const moved = entry as { -readonly [K in keyof Entry]: Entry[K] };
    moved.atMs = atMs;
    moved.order = this.#order;
    this.#push(entry);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, entry)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let below = index * 2 + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, child)) {
        below += 1;
        child = right;
      }
      if (isBefore(last, child)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
