import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { DeadLetter, DeadLetters } from "../ledger/dead-letters.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import { askAgain } from "./ask-again.ts";
import { nameOf } from "./delivery.ts";
import type { EngineParts } from "./engine-parts.ts";
import { storableId } from "./storable-id.ts";
import { storable, whyGivenUp } from "./why-given-up.ts";

/** A message that will not be delivered again, told before the broker is. */
export interface DeadLetterNote {
  /** The queue that delivered it. */
  readonly queue: string;
  /** The broker's id of the message. @default none: nothing tells the message from others, and each note has a record of its own */
  readonly messageId?: string;
  /** The claimant or the key. @default none: the message names none */
  readonly claimant?: string;
  /** Why: whatever was thrown, of any type. */
  readonly error: unknown;
}

/** One note at a time for the engine and many at a time for the database. */
export function deadLetterBatches(deadLetters: DeadLetters, clock: Clock): GroupCommit<DeadLetter, true> {
  return new GroupCommit({
    async run(letters) {
      await askAgain(clock, () => deadLetters.record(letters));
      return letters.map(() => true as const);
    },
  });
}

/**
 * Records why a message is given up, and tells it. What does not fit the record is made to fit: a note that cannot be written would keep
 * its message in the queue for ever.
 * Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED; CONFIG_INVALID when there is no queue in it, or the role may not write; CLAIM_REFUSED.
 */
export async function noteDeadLetter(
  parts: EngineParts,
  of: { readonly pool: string } | { readonly resource: string },
  note: DeadLetterNote,
): Promise<void> {
  if (typeof note?.queue !== "string" || note.queue === "") {
    throw new ExclaimError(
      "CONFIG_INVALID",
      "noteDeadLetter(letter): the letter must name the queue that delivered the message",
    );
  }
  const letter: DeadLetter = {
    note: parts.random.id(),
    queue: storableId(note.queue) ?? "",
    messageId: storableId(note.messageId),
    pool: "pool" in of ? storable(nameOf(of.pool)) : null,
    resource: "resource" in of ? of.resource : null,
    claimant: storable(nameOf(note.claimant)) || null,
    ...whyGivenUp(note.error),
  };
  await parts.deadLetterBatches.submit(letter);
  const { queue, messageId, claimant, code, reason } = letter;
  parts.events.emit("message:deadLettered", {
    ...of,
    ...(claimant === null ? {} : "pool" in of ? { claimant } : { key: claimant }),
    queue,
    ...(messageId === null ? {} : { messageId }),
    code,
    reason,
  });
}
