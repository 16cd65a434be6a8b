import { createHash } from "node:crypto";
import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { DeadLetter, DeadLetters } from "../ledger/dead-letters.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import { askAgain } from "./ask-again.ts";
import { nameOf } from "./delivery.ts";
import type { EngineParts } from "./engine-parts.ts";
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

/** AMQP's bound for names and ids. Queue and id share one index entry. */
const MAX_ID_BYTES = 255;
const READABLE_ID_LENGTH = 40;

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
    queue: storableId(note.queue),
    messageId: typeof note.messageId === "string" && note.messageId !== "" ? storableId(note.messageId) : null,
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

/** The id where it can be stored and indexed as it is, or else its readable start and its digest: two ids never become one. */
function storableId(id: string): string {
  const isStorable = id.length <= MAX_ID_BYTES && Buffer.byteLength(id) <= MAX_ID_BYTES && storable(id) === id;
  if (isStorable) return id;
  const digest = createHash("sha256").update(id, "utf16le").digest("hex");
  return `${storable(id.slice(0, READABLE_ID_LENGTH))}#${digest}`;
}
