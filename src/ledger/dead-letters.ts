/**
 * The contract of what is remembered of messages that were given up for good: which, and why. A broker may keep the message and not the
 * reason. Postgres is what people read; the memory one obeys the same suite and serves simulations.
 *
 * Invariants:
 * - a message with an id has one record in its queue, which tells of the last time and counts all of them;
 * - a message without an id has a record each time;
 * - asking again under the same note changes nothing.
 */
export interface DeadLetters {
  /**
   * Records messages that are about to be dead-lettered, many at once; the same message may be among them more than once.
   * After: each has its record, durably, and the broker may be told.
   * Died in between: some may be recorded; the broker delivers them again, and they are counted again.
   * Calling again with the same notes changes nothing. Known limit: unless another process noted the same message in between; then
   * that message is counted once too often.
   * Throws DATABASE_UNREACHABLE: unknown whether it was recorded, call again; SCHEMA_OUTDATED, CONFIG_INVALID, CLAIM_REFUSED.
   */
  record(letters: readonly DeadLetter[]): Promise<void>;
}

/** One message that is given up. No text holds a NUL or half a character. */
export interface DeadLetter {
  /** Random per call: recognises a note whose answer was lost. */
  readonly note: string;
  /** At most 255 bytes. */
  readonly queue: string;
  /** The broker's id, at most 255 bytes; null where there is none. */
  readonly messageId: string | null;
  /** The table as the pool's definition names it; null for a message of a resource. */
  readonly pool: string | null;
  /** The resource's name; null for a message of a pool. */
  readonly resource: string | null;
  /** The claimant or the key; null where the message names none. */
  readonly claimant: string | null;
  /** Stable: an `ExclaimError`'s code, or `HANDLER_ERROR` for what a handler threw. */
  readonly code: string;
  /** For people, at most 1,000 characters. */
  readonly reason: string;
}
