import type { Clock } from "../clock.ts";

/** How many members travel together and how many statements at a time. */
export interface GroupCommitOptions<Member, Answer> {
  /** Runs one batch; answers in the order of its members. A throw rejects every member of the batch. */
  readonly run: (members: readonly Member[]) => Promise<readonly Answer[]>;
  /** @default 100 */
  readonly maxBatch?: number;
  /** @default 2 */
  readonly maxInFlight?: number;
  /** Called when nothing waits and nothing is in flight. */
  readonly onIdle?: () => void;
  /** With its turns, calls that come by ones and twos on a busy process are waited for. @default none: nobody is waited for */
  readonly clock?: Clock;
}

/** Turns of the event loop that a batch waits for more members. Short when nothing arrives, and long enough for what does. */
const GATHERING_TURNS = 3;

export const DEFAULT_MAX_BATCH = 100;
export const DEFAULT_MAX_IN_FLIGHT = 2;

interface Waiting<Member, Answer> {
  readonly member: Member;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Lets calls that arrive together travel together.
 * A batch goes out at once when none is in flight, so a lone call waits for nobody; what arrives meanwhile leaves with the next
 * batch, when one returns or a full batch has gathered. On a busy process, which the last batch tells, a batch waits for what the event
 * loop has at hand, so that it does not leave with the first of many.
 */
export class GroupCommit<Member, Answer> {
  readonly #run: GroupCommitOptions<Member, Answer>["run"];
  readonly #maxBatch: number;
  readonly #maxInFlight: number;
  readonly #onIdle: () => void;
  readonly #clock: Clock | undefined;
  #lastSize = 0;
  #waiting: Waiting<Member, Answer>[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(options: GroupCommitOptions<Member, Answer>) {
    this.#run = options.run;
    this.#maxBatch = options.maxBatch ?? DEFAULT_MAX_BATCH;
    this.#maxInFlight = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
    this.#onIdle = options.onIdle ?? (() => {});
    this.#clock = options.clock;
  }

  /** Joins the next batch. Resolves with this member's answer; rejects when its whole batch failed. */
  submit(member: Member): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({ member, resolve, reject });
      this.#schedule();
    });
  }

  /** Answers those who wait, none of whom was asked for yet. */
  answerWaiting(answer: Answer): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve(answer);
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    // Who was alone last time is most likely so again, and is not kept waiting.
    if (this.#clock?.turn !== undefined && this.#lastSize > 1) this.#gather(this.#clock, GATHERING_TURNS);
    // One microtask later, so that calls made in the same turn of the event loop share the first batch too.
    else queueMicrotask(() => this.#send());
  }

  #gather(clock: Clock, turnsLeft: number): void {
    if (turnsLeft === 0 || this.#waiting.length >= this.#maxBatch) this.#send();
    else clock.turn?.(() => this.#gather(clock, turnsLeft - 1));
  }

  #send(): void {
    this.#scheduled = false;
    while (this.#mayStart()) {
      const batch = this.#waiting.splice(0, this.#maxBatch);
      this.#lastSize = batch.length;
      this.#inFlight += 1;
      void this.#carry(batch);
    }
  }

  #mayStart(): boolean {
    if (this.#waiting.length === 0) return false;
    return this.#inFlight === 0 || (this.#inFlight < this.#maxInFlight && this.#waiting.length >= this.#maxBatch);
  }

  async #carry(batch: readonly Waiting<Member, Answer>[]): Promise<void> {
    try {
      const answers = await this.#run(batch.map(({ member }) => member));
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer === undefined) reject(new Error("a batch answered fewer members than it had"));
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#inFlight -= 1;
    this.#schedule();
    if (this.#inFlight === 0 && this.#waiting.length === 0 && !this.#scheduled) this.#onIdle();
  }
}
