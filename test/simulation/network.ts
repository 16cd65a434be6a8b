import { ExclaimError } from "../../src/errors.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Nemesis, Service } from "./nemesis.ts";
import type { CallFault, CommitFault, Plan } from "./plan.ts";
import type { Entry, Scheduler } from "./scheduler.ts";
import type { SimProcess } from "./sim-process.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** One call of a process to a service outside. */
export interface Call<T> {
  readonly from: SimProcess;
  readonly to: Service;
  /** For people: "asks for a row for 7". */
  readonly what: () => string;
  /** It is a COMMIT. @default false */
  readonly isCommit?: boolean;
  /** Takes effect in one step, and answers on microtasks. */
  readonly act: () => Promise<T>;
}

/** What befalls one call. Times are from its sending. */
interface Course {
  requestMs: number;
  answerMs: number;
  /** When the caller hears that the connection broke. */
  brokenMs: number;
  isRequestLost: boolean;
  isAnswerLost: boolean;
}

/** Carries every call of every process: late, twice as late, or not at all; and so the answers. */
export class Network {
  readonly #plan: Plan;
  readonly #scheduler: Scheduler;
  readonly #nemesis: Nemesis;
  readonly #chronicle: Chronicle;

  constructor(plan: Plan, scheduler: Scheduler, nemesis: Nemesis, chronicle: Chronicle) {
    this.#plan = plan;
    this.#scheduler = scheduler;
    this.#nemesis = nemesis;
    this.#chronicle = chronicle;
  }

  /** What a way takes now and then: mostly about the plan's time, seldom five times that. */
  latencyMs(process: SimProcess): number {
    const fraction = process.seat.chance.fraction();
    return this.#plan.latencyMs * (0.2 + fraction + (fraction > 0.95 ? 4 : 0));
  }

  /**
   * Throws DATABASE_UNREACHABLE, LOCK_UNREACHABLE, BROKER_UNREACHABLE: whether it took effect, or will yet, is unknown; and what the
   * service itself throws.
   */
  call<T>({ from, to, what, act, isCommit = false }: Call<T>): Promise<T> {
    const sentAtMs = from.nowMs();
    const course = this.#courseOf(from, to, sentAtMs);
    if (isCommit) this.#spoilCommit(course, from);
    const tellMs = Math.min(course.brokenMs, this.#plan.timeoutMs);
    this.#chronicle.note(sentAtMs, from.name, what);
    from.underWay += 1;
    return new Promise((resolve, reject) => {
      let giveUp: Entry | undefined;
      const isCertain = !course.isRequestLost && !course.isAnswerLost && course.requestMs + course.answerMs < tellMs;
      if (!isCertain) {
        const broke = (): void => {
          from.underWay -= 1;
          reject(this.#unreachable(from, to));
        };
        giveUp = this.#scheduler.at(sentAtMs + tellMs, broke, from);
      }
      const answered = (settle: () => void): void => {
        if (course.isAnswerLost) return;
        const atMs = this.#scheduler.nowMs + course.answerMs;
        if (giveUp === undefined || atMs < giveUp.atMs) {
          this.#scheduler.at(
            atMs,
            () => {
              if (giveUp !== undefined) giveUp.run = undefined;
              from.underWay -= 1;
              settle();
            },
            from,
          );
        }
      };
      if (course.isRequestLost) return;
      this.#scheduler.at(sentAtMs + course.requestMs, () => {
        // What a process had sent when it died may have left it, or not.
        if (!from.isAlive && from.seat.chance.chance(0.5)) return;
        act().then(
          (value) => answered(() => resolve(value)),
          (error: unknown) => answered(() => reject(error)),
        );
      });
    });
  }

  #courseOf(from: SimProcess, to: Service, sentAtMs: number): Course {
    const requestMs = this.latencyMs(from);
    const course: Course = {
      requestMs,
      answerMs: this.latencyMs(from),
      brokenMs: NEVER,
      isRequestLost: false,
      isAnswerLost: false,
    };
    const number = from.seat.calls;
    from.seat.calls += 1;
    if (this.#nemesis.isAway(to, sentAtMs)) {
      course.isRequestLost = from.seat.chance.chance(0.7);
      course.isAnswerLost = true;
      course.brokenMs = from.seat.chance.chance(0.7) ? requestMs * 2 : NEVER;
    }
    const fault = this.#nemesis.atCall(from.seat.index, number);
    if (fault !== undefined) this.#spoil(course, fault, from, to);
    return course;
  }

  #spoilCommit(course: Course, from: SimProcess): void {
    const fault = this.#nemesis.atCommit(from.seat.index, from.seat.commits);
    from.seat.commits += 1;
    if (fault !== undefined) this.#spoil(course, fault, from, "database");
  }

  #spoil(course: Course, fault: CallFault | CommitFault, from: SimProcess, to: Service): void {
    const isNoticed = from.seat.chance.chance(0.6);
    switch (fault.kind) {
      case "lost-request":
        course.isRequestLost = true;
        course.brokenMs = isNoticed ? course.requestMs : NEVER;
        break;
      case "lost-answer":
        course.isAnswerLost = true;
        course.brokenMs = isNoticed ? course.requestMs + course.answerMs : NEVER;
        break;
      case "late-request":
        course.requestMs += fault.forMs;
        course.brokenMs = isNoticed ? course.answerMs : NEVER;
        break;
      case "unknown-commit":
        course.requestMs += fault.forMs;
        course.isAnswerLost = true;
        course.isRequestLost = from.seat.chance.chance(0.3);
        course.brokenMs = isNoticed ? course.answerMs : NEVER;
        break;
      case "slow-answer":
        course.answerMs += fault.forMs;
        break;
    }
    // What comes of it may come after the process is gone.
    from.unanswered += 1;
    this.#nemesis.hit(fault, `${from.name} to ${to}`);
  }

  #unreachable(from: SimProcess, to: Service): ExclaimError {
    from.unanswered += 1;
    this.#chronicle.note(this.#scheduler.nowMs, from.name, () => `hears that the connection to the ${to} broke`);
    switch (to) {
      case "database":
        return new ExclaimError("DATABASE_UNREACHABLE", "no answer");
      case "lock":
        return new ExclaimError("LOCK_UNREACHABLE", "no answer");
      case "broker":
      case "sink":
        return new ExclaimError("BROKER_UNREACHABLE", "no answer");
    }
  }
}
