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
}

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
 * batch, when one returns or a full batch has gathered.
 */
export class GroupCommit<Member, Answer> {
  readonly #run: GroupCommitOptions<Member, Answer>["run"];
  readonly #maxBatch: number;
  readonly #maxInFlight: number;
  readonly #onIdle: () => void;
  #waiting: Waiting<Member, Answer>[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(options: GroupCommitOptions<Member, Answer>) {
    this.#run = options.run;
    this.#maxBatch = options.maxBatch ?? DEFAULT_MAX_BATCH;
    this.#maxInFlight = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
    this.#onIdle = options.onIdle ?? (() => {});
  }

  /** Joins the next batch. Resolves with this member's answer; rejects when its whole batch failed. */
  submit(member: Member): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({ member, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      // One microtask later, so that calls made in the same turn of the event loop share the first batch too.
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  #send(): void {
    while (this.#mayStart()) {
      const batch = this.#waiting.splice(0, this.#maxBatch);
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
    this.#send();
    if (this.#inFlight === 0 && this.#waiting.length === 0 && !this.#scheduled) this.#onIdle();
  }
}
