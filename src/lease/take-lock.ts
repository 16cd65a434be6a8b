import { ExclaimError, isExclaimError } from "../errors.ts";
import type { AcquireOptions, LockMode } from "../lock/lock.ts";
import type { Guard } from "./guard.ts";
import { LockCalls, type LockPorts, type LockTry, type WonLock } from "./lock-calls.ts";
import { sleep, throwIfAborted } from "./sleep.ts";
import { Waiter, WaitingLines } from "./waiting-line.ts";

/** Without wake-ups a waiter asks again after a random time below a limit that doubles from the first of these to the second. */
const FIRST_PAUSE_MS = 25;
const MAX_PAUSE_MS = 1_000;

/** With wake-ups it asks all the same this often: none comes over a connection that broke. */
const MAX_SLEEP_MS = 5_000;

/** A release wakes one waiter in each process: they spread over this time. */
const SPREAD_MS = 10;

/** What is wanted of one key. */
export interface LockWish {
  readonly key: string;
  readonly ttlMs: number;
  readonly mode: LockMode;
  /** How long to wait for holders; 0 tries once. */
  readonly waitMs: number;
  /** Any of them ends the wait. */
  readonly signals: readonly AbortSignal[];
}

/** Takes locks, waiting for them if told to, and gives them back. */
export class LockTaker {
  readonly #ports: LockPorts;
  readonly #calls: LockCalls;
  readonly #lines = new WaitingLines();

  constructor(ports: LockPorts) {
    this.#ports = ports;
    this.#calls = new LockCalls(ports);
  }

  /** What a lease that rests on this lock is guarded by. */
  guard(lock: WonLock): Guard {
    return this.#calls.guard(lock.lease);
  }

  /** Gives a lock back, as `LockCalls.release`, and passes it to the next who waits in this process. */
  async release({ lease }: WonLock): Promise<boolean> {
    const wasOurs = await this.#calls.release(lease);
    this.#lines.wake(lease.key);
    return wasOurs;
  }

  /**
   * After: the lock, or null with a hint when somebody still excludes us at the end of the wait; then nothing is left on the server.
   * Throws LOCK_UNREACHABLE: so it was until the end of the wait; ABORTED; CONFIG_INVALID.
   */
  async take(wish: LockWish): Promise<LockTry> {
    this.#assertPossible(wish);
    const options = { ttlMs: wish.ttlMs, owner: this.#ports.random.id(), mode: wish.mode };
    if (wish.waitMs <= 0) return this.#calls.tryOnce(wish.key, options);
    throwIfAborted(wish.signals);
    const endMs = this.#ports.clock.now() + wish.waitMs;
    // Where the server keeps a line each waiter has its place in it, and only the next one is woken. So has every reader: all win at once.
    const isCrowd = !this.#ports.lock.capabilities.fifo && wish.mode === "exclusive";
    return isCrowd ? this.#inLine(wish, options, endMs) : this.#ask(wish, options, endMs, new Waiter(() => {}));
  }

  async #inLine(wish: LockWish, options: AcquireOptions, endMs: number): Promise<LockTry> {
    const waiter = this.#lines.join(wish.key);
    try {
      await this.#sleep(wish, Number.POSITIVE_INFINITY, endMs, waiter);
      throwIfAborted(wish.signals);
      return await this.#ask(wish, options, endMs, waiter);
    } finally {
      waiter.leave();
    }
  }

  /** Asks until the lock is won or the wait is over. */
  async #ask(wish: LockWish, options: AcquireOptions, endMs: number, waiter: Waiter): Promise<LockTry> {
    const { key, mode } = wish;
    const { lock } = this.#ports;
    const queue = lock.capabilities.fifo;
    let stopWatching: (() => void) | undefined;
    let tries = 0;
    let won = false;
    try {
      for (;;) {
        const answer = await this.#tryOrError(key, { ...options, queue });
        if ("lock" in answer && answer.lock !== null) {
          won = true;
          if (!wish.signals.some(({ aborted }) => aborted)) return answer;
          await this.#calls.release(answer.lock.lease);
        }
        throwIfAborted(wish.signals);
        if (this.#ports.clock.now() >= endMs) {
          if ("error" in answer) throw answer.error;
          return answer;
        }
        if (stopWatching === undefined && lock.watch !== undefined) {
          stopWatching = await lock.watch({ key, owner: options.owner, mode }, () => waiter.wake()).catch(() => undefined);
          // Asked once more before sleeping: what changed before the watch stood is seen then.
          if (stopWatching !== undefined) continue;
        }
        tries += 1;
        const hintMs = "retryAfterMs" in answer ? answer.retryAfterMs : 0;
        const pauseMs = stopWatching === undefined ? this.#pauseMs(tries, hintMs) : sleepMs(wish, hintMs);
        const wasWoken = await this.#sleep(wish, pauseMs, endMs, waiter);
        if (wasWoken && !queue) await this.#sleep(wish, this.#ports.random.fraction() * SPREAD_MS, endMs, waiter);
      }
    } finally {
      stopWatching?.();
      if (queue && !won) await this.#calls.release({ key, owner: options.owner, ttlMs: options.ttlMs });
    }
  }

  #sleep(wish: LockWish, ms: number, endMs: number, waiter: Waiter): Promise<boolean> {
    const { clock } = this.#ports;
    return sleep(clock, Math.min(ms, endMs - clock.now()), wish.signals, waiter);
  }

  /** A server that does not answer may be back before the wait is over. */
  async #tryOrError(key: string, options: AcquireOptions): Promise<LockTry | { readonly error: unknown }> {
    try {
      return await this.#calls.tryOnce(key, options);
    } catch (error) {
      if (!isExclaimError(error, "LOCK_UNREACHABLE")) throw error;
      return { error };
    }
  }

  /** Full jitter, and not past the moment when the holder's lease is over. Source: M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015). */
  #pauseMs(tries: number, hintMs: number): number {
    const limit = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries, 10));
    const pause = this.#ports.random.fraction() * limit;
    return hintMs > 0 ? Math.min(pause, hintMs) : pause;
  }

  #assertPossible({ mode }: LockWish): void {
    const { lock } = this.#ports;
    if (mode === "exclusive" || lock.capabilities.shared) return;
    throw new ExclaimError("CONFIG_INVALID", `${lock.name} locks have no shared mode: use "exclusive", or another back-end`, {
      backend: lock.name,
    });
  }
}

/** With wake-ups only the holder's end and, in a line, keeping one's place are reasons to ask unasked. */
function sleepMs({ ttlMs }: LockWish, hintMs: number): number {
  const untilHint = hintMs > 0 ? hintMs : MAX_SLEEP_MS;
  return Math.min(untilHint, MAX_SLEEP_MS, ttlMs / 3);
}
