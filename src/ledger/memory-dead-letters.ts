import type { Clock } from "../clock.ts";
import type { DeadLetter, DeadLetters } from "./dead-letters.ts";

export interface MemoryDeadLettersOptions {
  /** Says when a message was noted. Only `now()` is called. */
  readonly clock: Clock;
}

/** One message as it is remembered. Times are by the clock given. */
export interface DeadLetterRecord extends DeadLetter {
  readonly times: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** The dead letters in memory, and what tests and simulations look at. */
export interface MemoryDeadLetters extends DeadLetters {
  /** A snapshot of every record, in the order in which the messages came first. */
  letters(): readonly DeadLetterRecord[];
}

/**
 * The dead letters for tests, simulations and programs of one process: the rules of `DeadLetters`, without a database.
 * After: a call takes effect in one synchronous step and answers on a microtask.
 */
export function memoryDeadLetters({ clock }: MemoryDeadLettersOptions): MemoryDeadLetters {
  /** By queue and id of the message, or by the note where it has none. */
  const records = new Map<string, DeadLetterRecord>();
  return {
    async record(letters) {
      // A message that comes twice in one call is recognised by the last of its notes.
      const lastOf = new Map(letters.map((letter) => [keyOf(letter), letter]));
      for (const [key, last] of lastOf) {
        const known = records.get(key);
        if (known?.note === last.note) continue;
        const nowMs = clock.now();
        const times = (known?.times ?? 0) + letters.filter((letter) => keyOf(letter) === key).length;
        records.set(key, { ...last, times, firstAtMs: known?.firstAtMs ?? nowMs, lastAtMs: nowMs });
      }
    },
    letters: () => [...records.values()],
  };
}

/** Parts cannot run into each other, whatever they contain. */
function keyOf({ queue, messageId, note }: DeadLetter): string {
  return JSON.stringify(messageId === null ? [note] : [queue, messageId]);
}
