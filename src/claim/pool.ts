import type { Row } from "../ledger/ledger.ts";
import type { Scope } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { DeadLetterNote } from "./note-dead-letter.ts";
import type { RowNote } from "./row-note.ts";

/** What the outer lock is taken on: the claimant's slot, the claimed row, or both. */
export type LockBy = "claimant" | "row" | "both";

/** How one delivery is claimed, whatever brought it. */
export interface ClaimOptions {
  /**
   * A claimant with a completed claim: answer with its stored result, or run the handler again under a new token.
   * @default "return-result"
   */
  readonly onReplay?: "return-result" | "rerun";
  /** After a handler error: keep the row for the claimant's retry, or give it back. @default "keep" */
  readonly onFailure?: "keep" | "release";
  /** When the broker will not deliver the message again. @default "keep", or "release" where `onFailure` says so */
  readonly onGiveUp?: "keep" | "release";
  /** What the outer lock is taken on, if there is one. @default "claimant" */
  readonly lockBy?: LockBy;
  /** After this many ms the claim is aborted instead of renewed. @default no limit */
  readonly maxHoldMs?: number;
}

/** One delivery that wants a row. */
export interface PoolClaimRequest extends ClaimOptions {
  /** On whose behalf: at most 1,024 bytes, no NUL, not empty. */
  readonly claimant: string;
  /** Only rows of this subset, and the claimant's claims in it. @default the whole pool */
  readonly scope?: Scope;
  /**
   * The id of the very row wanted. A claimant that has a row already is answered with that one: one claimant, one row.
   * @default any free row
   */
  readonly pick?: string;
  /** How long to wait, in ms, up to 86,400,000, while somebody else works for the claimant. 0 tries once. @default 0 */
  readonly waitMs?: number;
  /** The broker's id of the message, recorded for people. @default none */
  readonly messageId?: string;
  /** The caller's own abort. @default none */
  readonly signal?: AbortSignal;
  /** The broker will not deliver again if this delivery fails. @default false */
  readonly lastAttempt?: boolean;
  /**
   * What an error of the handler means: `failure`; `final`, given up for good; or `pause`, the handler put its own message off
   * and will be back, so the row is kept whatever `onFailure` says.
   * @default every error is a failure
   */
  readonly judge?: (error: unknown) => "failure" | "final" | "pause";
}

/** A claimant's claim that no delivery will finish. */
export interface GiveUpRequest {
  readonly claimant: string;
  readonly scope?: Scope;
  /** Only a claim made by this message is given up. */
  readonly messageId: string;
  readonly onGiveUp: "keep" | "release";
}

/** A table of rows to claim, and the engine behind it. */
export interface Pool<R extends object = Row> {
  /** The table as the definition names it. */
  readonly name: string;

  /**
   * Gives the claimant a row, runs `handler` under it, and completes, fails or releases the claim.
   * After: the outcome is durable. Never throws for what a delivery can meet: errors are in the outcome.
   * Died in between: the claimant's next claim resumes the same row once the lease is over.
   */
  claim<T>(request: PoolClaimRequest, handler: (claim: Claim<R>) => Promise<T>): Promise<Outcome<T>>;

  /**
   * For a message the broker gave up without running the handler. Waits until a lease that still lives is over.
   * Throws DATABASE_UNREACHABLE: nothing changed.
   */
  giveUp(request: GiveUpRequest): Promise<void>;

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
