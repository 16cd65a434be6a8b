/**
 * The only source of time. Monotonic: a step of the wall clock changes nothing. Tests and simulations pass their own.
 */

/** Monotonic time and timers. */
export interface Clock {
  /** Milliseconds since some fixed instant; never goes backwards, says nothing of the calendar. */
  now(): number;
  /**
   * Calls `fire` once after `delayMs`. Only with `keepAlive`, when somebody waits for it, does the timer keep the process alive.
   * After: the returned function cancels it; calling that twice, or after it fired, does nothing.
   */
  after(delayMs: number, fire: () => void, keepAlive?: boolean): () => void;
  /** Calls `fire` once what has arrived by now has been looked at: at once when nothing has. Without it nobody waits for that. */
  turn?(fire: () => void): void;
}

/** The process's own monotonic clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, fire, keepAlive = false) {
    const timer = setTimeout(fire, Math.max(0, delayMs));
    if (!keepAlive) timer.unref();
    return () => clearTimeout(timer);
  },
  turn(fire) {
    setImmediate(fire);
  },
};

/** Resolves after `delayMs`. The process stays alive for it. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve, true));
}
