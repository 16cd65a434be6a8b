import { isExclaimError } from "../errors.ts";
import { messageOf } from "./message-of.ts";

/**
 * Tells of servers that are away. Their messages are only put off, with nothing to see in the queue but messages that wait, so whoever
 * watches the consumer is told why: once for each kind of error, and again once messages have been served in between.
 */
export class Outages {
  readonly #told = new Set<string>();
  readonly #noun: string;

  /** `noun`: what the broker's people call their messages. */
  constructor(noun: string) {
    this.#noun = noun;
  }

  /** Calls `report` unless it was called for this kind of error since all was well. */
  tell(error: unknown, report: (message: string) => void): void {
    const kind = isExclaimError(error) ? error.code : messageOf(error);
    if (this.#told.has(kind)) return;
    this.#told.add(kind);
    report(`${this.#noun} are put off: ${messageOf(error)}`);
  }

  over(): void {
    this.#told.clear();
  }
}
