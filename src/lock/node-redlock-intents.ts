import type { LockLease } from "./lock.ts";

/**
 * Whether an owner wants a key. Answers may come after the same owner asked for something else; what is done about them follows what
 * is wanted then: a key is set only while it is wanted, and deleted only when it is not.
 */
export class Intent {
  isWanted = true;
  readonly #intents: Map<string, Intent>;
  readonly #id: string;
  /** Commands under way; the intent is forgotten at 0. */
  #unanswered = 0;

  private constructor(intents: Map<string, Intent>, id: string) {
    this.#intents = intents;
    this.#id = id;
  }

  /** The one that answers are still due about, or a new one. */
  static of({ key, owner }: LockLease, intents: Map<string, Intent>): Intent {
    const id = `${owner.length} ${owner}${key}`;
    return intents.get(id) ?? new Intent(intents, id);
  }

  /** A command is sent. */
  begin(): void {
    if (this.#unanswered === 0) this.#intents.set(this.#id, this);
    this.#unanswered += 1;
  }

  /** It is answered, or failed. */
  end(): void {
    this.#unanswered -= 1;
    if (this.#unanswered === 0 && this.#intents.get(this.#id) === this) this.#intents.delete(this.#id);
  }
}
