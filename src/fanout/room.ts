import type { Course } from "./course.ts";
import type { Plan } from "./plan.ts";
import { sleep } from "./sleep.ts";
import { untilReached } from "./until-reached.ts";

const FIRST_LOOK_MS = 100;
const MAX_LOOK_MS = 2_000;
/** Others publish into the queue too: what was seen is not trusted for longer. */
const TRUST_MS = 1_000;

/** Keeps an import from filling a queue further than `maxBacklog`. */
export class Room<R, V> {
  readonly #plan: Plan<R, V>;
  readonly #course: Course<R, V>;
  #seen: { readonly room: number; readonly published: number; readonly atMs: number } | undefined;

  constructor(plan: Plan<R, V>, course: Course<R, V>) {
    this.#plan = plan;
    this.#course = course;
  }

  /**
   * Waits until fewer than `maxBacklog` messages wait in the queue, or the signal is aborted. The import stays alive meanwhile: it hears
   * when it is cancelled, and answers that.
   * Throws BROKER_UNREACHABLE, DATABASE_UNREACHABLE.
   */
  async wait(): Promise<"cancelled" | "superseded" | undefined> {
    const { signal, clock } = this.#plan;
    if (this.#hasRoom()) return undefined;
    await this.#course.settled();
    for (let delayMs = FIRST_LOOK_MS; !(await this.#look()); delayMs = Math.min(delayMs * 2, MAX_LOOK_MS)) {
      this.#course.tell(true);
      const answer = await this.#course.beat();
      if (answer !== undefined) return answer;
      await sleep(clock, delayMs, signal);
      if (signal?.aborted) break;
    }
    return undefined;
  }

  /** A look costs the broker a turn, and here it comes between two bulks: one look serves for as many messages as it saw room for. */
  #hasRoom(): boolean {
    const { maxBacklog, clock } = this.#plan;
    if (maxBacklog === Number.POSITIVE_INFINITY) return true;
    if (this.#seen === undefined || clock.now() - this.#seen.atMs > TRUST_MS) return false;
    return this.#course.sent - this.#seen.published < this.#seen.room;
  }

  async #look(): Promise<boolean> {
    const { target, maxBacklog, clock } = this.#plan;
    const backlog = await untilReached(async () => (await target.backlog?.()) ?? 0, this.#plan);
    this.#seen = { room: maxBacklog - backlog, published: this.#course.sent, atMs: clock.now() };
    return backlog < maxBacklog;
  }
}
