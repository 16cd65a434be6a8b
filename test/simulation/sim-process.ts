import type { Clock } from "../../src/clock.ts";
import type { Random } from "../../src/random.ts";
import type { Nemesis } from "./nemesis.ts";
import type { ProcessFault } from "./plan.ts";
import type { Recipient, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** A place in which one process after another runs. What is counted goes on across restarts. */
export interface Seat {
  readonly index: number;
  readonly chance: SeededRandom;
  events: number;
  calls: number;
  commits: number;
  incarnations: number;
}

/** A claim under way, as histories name it. */
export interface RestsOnLock {
  readonly resource: string;
  readonly token: number;
}

export interface SimProcessPorts {
  readonly scheduler: Scheduler;
  readonly nemesis: Nemesis;
  /** What a fault does to the process beyond its own time. */
  readonly onFault: (process: SimProcess, fault: ProcessFault) => void;
}

/** One process: what reaches it, and what time it is there. */
export class SimProcess implements Recipient {
  readonly seat: Seat;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  isAlive = true;
  /** Until then it takes nothing: it is stopped, or runs a loop. Its own clock is there already. */
  busyUntilMs = 0;
  /** Calls of it whose answer it did not get, or not in its time. */
  unanswered = 0;
  /** Calls of it that are on their way. */
  underWay = 0;
  /** Claims that it lost: what they rested on is left to run out. */
  lostClaims = 0;
  /** What handlers work on, by the key of an outer lock that it rests on. */
  readonly restingOn = new Map<string, RestsOnLock>();
  readonly #ports: SimProcessPorts;
  #ids = 0;

  constructor(seat: Seat, ports: SimProcessPorts) {
    seat.incarnations += 1;
    this.seat = seat;
    this.name = `pod-${seat.index + 1}.${seat.incarnations}`;
    this.#ports = ports;
    const { scheduler } = ports;
    this.clock = {
      now: () => this.nowMs(),
      after: (delayMs, fire) => {
        const entry = scheduler.at(this.nowMs() + delayMs, fire, this);
        return () => {
          entry.run = undefined;
        };
      },
      turn: (fire) => void scheduler.at(this.nowMs(), fire, this),
    };
    this.random = {
      id: () => {
        this.#ids += 1;
        return `${this.name}#${this.#ids}`;
      },
      fraction: () => seat.chance.fraction(),
    };
  }

  nowMs(): number {
    return Math.max(this.#ports.scheduler.nowMs, this.busyUntilMs);
  }

  /** Runs a loop that lets nothing else run: the clock goes on, and what is due waits. */
  stall(forMs: number): void {
    this.busyUntilMs = this.nowMs() + forMs;
  }

  admit(): boolean {
    this.seat.events += 1;
    const fault = this.#ports.nemesis.atEvent(this.seat.index, this.seat.events);
    if (fault === undefined) return true;
    this.#ports.onFault(this, fault);
    return fault.kind === "stall" || fault.kind === "close";
  }
}
