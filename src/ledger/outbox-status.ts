/**
 * The contract of looking into the outbox: what waits, what was sent and what is set aside, for people and the command line. Moving the
 * messages is `exclaim/outbox`.
 */
export interface OutboxAdmin {
  /** Counts the rows. Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED. */
  outboxStatus(): Promise<OutboxStatus>;
  /** The parked messages, those parked first leading, read by the page while they are asked for. Throws as `outboxStatus` does. */
  parkedMessages(options?: { readonly limit?: number }): AsyncIterable<ParkedMessage>;
  /**
   * Puts parked messages back among those that wait, due at once, with all attempts before them again; `"all"` for every one.
   * Returns how many there were: an id that is not parked counts for nothing.
   * Died in between: all of them, or none. Throws as `outboxStatus` does; CONFIG_INVALID: an id is no UUID.
   */
  retryParked(ids: readonly string[] | "all"): Promise<number>;
}

export interface OutboxStatus {
  /** Not sent yet and not parked. */
  readonly waiting: number;
  /** Of those that wait: not put off after a refusal. */
  readonly due: number;
  /** How long the oldest of those that wait has waited, in ms; null when none does. */
  readonly oldestWaitingMs: number | null;
  /** Refused too often. */
  readonly parked: number;
  /** Sent and not forgotten yet. */
  readonly sent: number;
}

/** A message that the broker refused too often. */
export interface ParkedMessage {
  readonly id: string;
  readonly topic: string;
  /** What published it: a claim of the table `pool`, or a lease of the named resource `pool`, by its key. */
  readonly kind: "pool" | "resource";
  readonly pool: string;
  readonly claimant: string;
  readonly attempts: number;
  readonly reason: string;
  /** By the database server's clock. */
  readonly parkedAt: Date;
}
