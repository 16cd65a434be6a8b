import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { EventSource } from "../events.ts";
import type { LockBackend } from "../lock/lock.ts";
import type { Random } from "../random.ts";
import { acquireLocks } from "./acquire-locks.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import type { AcquireLockOptions, ContendedLock, HeldLock } from "./locks.ts";
import { Running } from "./running.ts";
import { throwIfAborted } from "./sleep.ts";
import { LockTaker } from "./take-lock.ts";

export interface HoldingPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly lock: LockBackend | undefined;
  readonly events: EventSource;
  readonly ttlMs: number;
}

/** What one process holds: its locks and leases, what keeps them alive, and how they end. */
export class Holding {
  readonly keeper: LeaseKeeper;
  readonly running: Running;
  /** Takes outer locks, where there is a back-end. */
  readonly taker: LockTaker | undefined;
  readonly #ports: HoldingPorts;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(ports: HoldingPorts) {
    const { lock } = ports;
    this.#ports = ports;
    this.keeper = new LeaseKeeper(ports);
    this.running = new Running(ports.clock);
    this.taker = lock === undefined ? undefined : new LockTaker({ ...ports, lock, running: this.running });
  }

  /** Aborts as soon as `close` is called: nothing new may begin, and nobody waits any more. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** `Locks.acquire`, with its options checked. */
  async acquire(
    keys: readonly string[],
    options: AcquireLockOptions & { readonly ttlMs: number },
  ): Promise<HeldLock | ContendedLock> {
    if (this.taker === undefined) {
      throw new ExclaimError(
        "CONFIG_INVALID",
        "there is no lock back-end: give createExclaim a `lock`, for example redlock([client])",
      );
    }
    const { ttlMs, mode = "exclusive", waitMs = 0, signal } = options;
    const signals = signal === undefined ? [this.closing] : [signal, this.closing];
    throwIfAborted(signals);
    const { keeper, running, taker } = this;
    return acquireLocks({ ...this.#ports, keeper, running, taker }, { keys, ttlMs, mode, waitMs, signals });
  }

  /**
   * Begins nothing new, waits up to `drainMs` for what is under way, aborts it, gives it a last moment, and ends the leases of what is
   * still there, so that another process can go on at once. Idempotent.
   */
  close(drainMs: number): Promise<void> {
    this.#closed ??= this.#closeOnce(drainMs);
    return this.#closed;
  }

  async #closeOnce(drainMs: number): Promise<void> {
    this.#closing.abort(closed());
    await this.running.drain(drainMs, closed());
    const left = this.running.works();
    this.keeper.stop();
    for (const { lease } of left) lease.lose(closed());
    await Promise.all(left.map((work) => work.abandon()));
  }
}

function closed(): ExclaimError {
  return new ExclaimError("CLOSED", "exclaim is closing: it takes no new claims, another process will");
}
