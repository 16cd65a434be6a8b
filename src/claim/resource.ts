import type { LockMode } from "../lock/lock.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { DeadLetterNote } from "./note-dead-letter.ts";
import type { RowNote } from "./row-note.ts";

/** How a key of a named resource is claimed, whatever brought the delivery. */
export interface ResourceClaimOptions {
  /** `shared`: several at once, that exclude exclusive ones; where the lock back-end can, if there is one. @default "exclusive" */
  readonly mode?: LockMode;
  /**
   * At least this many ms between two starts for a key, across all processes, by the database's clock. Kept when the holder crashes,
   * and independent of the ttl. Up to 86,400,000. @default none
   */
  readonly minIntervalMs?: number;
  /** Counts the interval from the start of the one before, or from its end; the end of one that crashed is that of its lease. @default "start" */
  readonly intervalFrom?: "start" | "end";
  /** After this many ms the claim is aborted instead of renewed. @default no limit */
  readonly maxHoldMs?: number;
}

/** One delivery that wants a key. */
export interface ResourceClaimRequest extends ResourceClaimOptions {
  /** What only one may work on: an order's id. At most 1,024 bytes, no NUL, not empty. */
  readonly key: string;
  /** How long to wait for the holder, or for the interval to be over, in ms, up to 86,400,000. 0 tries once. @default 0 */
  readonly waitMs?: number;
  /** The broker's id of the message, recorded for people. @default none */
  readonly messageId?: string;
  /** The caller's own abort. @default none */
  readonly signal?: AbortSignal;
}

/** How a handler runs on a beat. */
export interface BeatOptions {
  /** Several beats of one resource are told apart by it. @default "beat" */
  readonly key?: string;
  /** After this many ms a run is aborted instead of renewed. @default no limit */
  readonly maxHoldMs?: number;
  /** Stops the beat, as `stop` does. @default none */
  readonly signal?: AbortSignal;
}

/** A handler that runs on a beat, until stopped. */
export interface Beat extends AsyncDisposable {
  /** Ends the beat in this process: starts no run any more, and resolves once the one under way has ended. Never throws. Idempotent. */
  stop(): Promise<void>;
}

/** A named resource: its keys are what only one delivery may work on at a time, with a token, and no table of the user's. */
export interface Resource {
  readonly name: string;

  /**
   * Runs `handler` while nobody else works on the key, and ends the claim.
   * After: the key is free for the next one, which gets a greater token. There is no replay: a redelivery runs again.
   * Died in between: the next claim gets the key once the lease is over, `resumed`, and not before the interval is.
   * Never throws for what a delivery can meet: errors are in the outcome.
   */
  claim<T>(request: ResourceClaimRequest, handler: (claim: Claim<undefined>) => Promise<T>): Promise<Outcome<T>>;

  /**
   * Runs `handler` every `intervalMs` on one of all the processes that call this, whichever is there first.
   * Shape: starts lie on a fixed grid, so that they do not drift; a beat that nobody could serve is skipped, never made up for in a
   * burst. A run that outlasts its beat delays the next one; what a run throws is told by the event `claim:ended`, and the beat goes on.
   * After: one run at a time across all processes, each with a token greater than the one before.
   * Died in between: another process serves the beat, at most an interval and a ttl later.
   * Throws CONFIG_INVALID.
   */
  every(intervalMs: number, handler: (claim: Claim<undefined>) => Promise<unknown>, options?: BeatOptions): Beat;

  /**
   * For an adapter that is about to dead-letter a message: a broker may keep the message and not the reason.
   * After: the reason is recorded in `dead_letters`, `message:deadLettered` was emitted, and the broker may be told. The message's next
   * dead-lettering is counted in the same record, if it has an id.
   * Died in between: the broker delivers the message again, and its dead-lettering is counted twice.
   * Throws DATABASE_UNREACHABLE: unknown whether it was recorded; SCHEMA_OUTDATED, CONFIG_INVALID, CLAIM_REFUSED. Never for what was
   * thrown, however odd it is.
   */
  noteDeadLetter(letter: DeadLetterNote): Promise<void>;

  /**
   * For an adapter that is about to settle a message for good: what became of the row of a bulk import that the message was made of. A
   * message of no import is none of its business.
   * After: it is recorded, and the broker may be told. Telling it again changes nothing.
   * Died in between: the broker delivers the message again, and its end is told then.
   * Throws DATABASE_UNREACHABLE: unknown whether it was recorded; SCHEMA_OUTDATED, CONFIG_INVALID.
   */
  accountRow(note: RowNote): Promise<void>;

  /** A number in [0, 1) from the engine's source of chance: adapters jitter with it. */
  jitter(): number;
}
