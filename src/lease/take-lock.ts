import { ExclaimError } from "../errors.ts";
import type { LockMode } from "../lock/lock.ts";
import type { Guard } from "./guard.ts";
import { type FailedTry, LockCalls, type LockPorts, type LockTry, leaseOf, quoted, type WonLock } from "./lock-calls.ts";
import { sleep, throwIfAborted } from "./sleep.ts";
import { Waiter, WaitingLines } from "./waiting-line.ts";
import { WakeUps } from "./wake-ups.ts";

/** Without wake-ups a waiter asks again after a random time below a limit that doubles from the first of these to the second. */
const FIRST_PAUSE_MS = 25;
const MAX_PAUSE_MS = 1_000;

/** With wake-ups it asks all the same this often: none comes over a connection that broke. */
const MAX_SLEEP_MS = 5_000;

/** A place in a line lasts as long as the lease that is asked for, since it was last asked for. */
const ASKS_PER_TTL = 3;

/** A release, or the end of a holder's lease, brings one waiter of each process, in a line all of them: they spread over this time. */
const SPREAD_MS = 10;

/** What is wanted of one key. */
export interface LockWish {
  readonly key: string;
  readonly ttlMs: number;
  readonly mode: LockMode;
  /** How long to wait for holders; 0 tries once. A call under way at its end is still answered, or times out. */
  readonly waitMs: number;
  /** Any of them ends the wait, and the call under way. */
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
   * After: the lock, or null with a hint when somebody still excludes us at the end of the wait. Whatever else comes of it, nothing is
   * left on the server, or is just being given back.
   * Throws LOCK_UNREACHABLE: so it was until the end of the wait; ABORTED, or a signal's own reason; CONFIG_INVALID.
   */
  async take(wish: LockWish): Promise<LockTry> {
    this.#assertPossible(wish);
    throwIfAborted(wish.signals);
    const endMs = this.#ports.clock.now() + wish.waitMs;
    // Where the server keeps a line each waiter has its place in it, and only the next one is woken. So has every reader: all win at once.
    const isCrowd = !this.#ports.lock.capabilities.fifo && wish.mode === "exclusive";
    if (isCrowd && wish.waitMs > 0) return this.#inLine(wish, endMs);
    return this.#ask(wish, endMs, new Waiter(() => {}));
  }

  async #inLine(wish: LockWish, endMs: number): Promise<LockTry> {
    const waiter = this.#lines.join(wish.key);
    try {
      const isFirst = await this.#sleep(wish, wish.waitMs, endMs, waiter);
      throwIfAborted(wish.signals);
      // Many may run out of time at once: what the first of them was told holds for all.
      const leftMs = this.#lines.freeAtMs(wish.key) - this.#ports.clock.now();
      if (!isFirst && leftMs > 0) return { lock: null, retryAfterMs: Math.ceil(leftMs) };
      return await this.#ask(wish, endMs, waiter);
    } finally {
      waiter.leave();
    }
  }

  async #ask(wish: LockWish, endMs: number, waiter: Waiter): Promise<LockTry> {
    for (;;) {
      const answer = await this.#askAs(this.#ports.random.id(), wish, endMs, waiter);
      if (!("error" in answer)) return answer;
      if (!answer.isOwnerSpent || this.#isOver(endMs)) throw answer.error;
      this.#tell(wish.key, answer.error);
    }
  }

  /** Asks until the lock is won, the wait is over or this owner can ask no more. */
  async #askAs(owner: string, wish: LockWish, endMs: number, waiter: Waiter): Promise<LockTry | FailedTry> {
    const { key, ttlMs, mode, signals } = wish;
    const queue = wish.waitMs > 0 && this.#ports.lock.capabilities.fifo;
    const options = { ttlMs, owner, mode, queue };
    const wakeUps = new WakeUps(this.#ports, { key, owner, mode }, () => waiter.wake());
    let hasPlace = queue;
    try {
      for (let tries = 1; ; tries += 1) {
        const answer = await this.#calls.tryOnce(key, options, signals);
        if ("error" in answer ? answer.isOwnerSpent : answer.lock !== null) {
          hasPlace = false;
          return answer;
        }
        if ("retryAfterMs" in answer) this.#lines.noteHolder(key, this.#ports.clock.now() + answer.retryAfterMs);
        if (this.#isOver(endMs)) return answer;
        if ("error" in answer) this.#tell(key, answer.error);
        wakeUps.begin();
        const hintMs = "retryAfterMs" in answer ? answer.retryAfterMs : 0;
        const wasWoken = await this.#sleep(wish, this.#pauseMs(ttlMs, tries, hintMs, wakeUps.areStanding), endMs, waiter);
        if (wasWoken && !queue) await this.#sleep(wish, this.#ports.random.fraction() * SPREAD_MS, endMs, waiter);
      }
    } finally {
      wakeUps.end();
      if (hasPlace) void this.#calls.giveUp(leaseOf(key, options));
    }
  }

  #isOver(endMs: number): boolean {
    return this.#ports.clock.now() >= endMs;
  }

  #sleep(wish: LockWish, ms: number, endMs: number, waiter: Waiter): Promise<boolean> {
    const { clock } = this.#ports;
    return sleep(clock, Math.min(ms, endMs - clock.now()), wish.signals, waiter);
  }

  /**
   * Random, so that a crowd does not stay one: full jitter where it is chance who asks next, half where nothing is expected to happen.
   * Not past the moment when the holder's lease is over, nor so long that a place in the line is lost.
   * Source: M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
   */
  #pauseMs(ttlMs: number, tries: number, hintMs: number, areWoken: boolean): number {
    const { random, lock } = this.#ports;
    const patienceMs = areWoken ? MAX_SLEEP_MS : Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries, 10));
    const limitMs = lock.capabilities.fifo ? Math.min(patienceMs, ttlMs / ASKS_PER_TTL) : patienceMs;
    const pauseMs = (areWoken ? (1 + random.fraction()) / 2 : random.fraction()) * limitMs;
    return hintMs > 0 ? Math.min(pauseMs, hintMs + random.fraction() * SPREAD_MS) : pauseMs;
  }

  #tell(key: string, error: ExclaimError): void {
    this.#ports.events.emit("background:failed", { what: `asking for the lock on ${quoted(key)}`, error });
  }

  #assertPossible({ mode }: LockWish): void {
    const { lock } = this.#ports;
    if (mode === "exclusive" || lock.capabilities.shared) return;
    throw new ExclaimError("CONFIG_INVALID", `${lock.name} locks have no shared mode: use "exclusive", or another back-end`, {
      backend: lock.name,
    });
  }
}
