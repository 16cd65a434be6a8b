import type { ExclaimError } from "../errors.ts";
import type { TopicName, TopicPayload } from "./outbox-topics.ts";
import type { PoolDefinition, Scope } from "./pool-definition.ts";

/**
 * The contract of the ledger: the durable record of who has what. Postgres is the authority; the memory ledger obeys the
 * same suite and serves simulations.
 *
 * States of a claim, one row for each (pool, scope, claimant):
 *
 *     (none) --claim--> held --complete--> completed --claim with rerun--> held
 *                        |  --fail-------> failed ----claim-------------> held (same row, token + 1, attempt + 1)
 *                        |  --release----> released --claim-------------> held (any free row, attempt 1)
 *                        +  --lease over-> (still held) --claim---------> held (same row, token + 1, attempt + 1)
 *
 * Invariants:
 * - a resource is named by at most one claim that is held, failed or completed (S1);
 * - a claimant has at most one such claim in a pool and scope (S2);
 * - the token of a resource grows by one at every arrow that ends in held, in commit order, also across a release (S3);
 * - only the newest token of a held claim can end it (S4).
 *
 * Every method takes many at once and answers each, in the order asked. Contention and loss are answers; a throw means the
 * whole call failed, and for DATABASE_UNREACHABLE that what happened is unknown: call again with the same arguments.
 */
export interface Ledger {
  /**
   * Gives each claimant its row: the one it has, or a free one.
   * After: `claimed` answers are durable and leased for `ttlMs` from a moment not before this call was made.
   * Died in between: the lease runs out and the claimant's next claim resumes the same row.
   * Calling again with the same `holder` finds the claim made before and answers `claimed` with the same token; once that claim has
   * ended the call comes late and acquires nothing: it is replayed a completion, and else contended.
   * A claimant that a batch names twice in a scope is tried for its first request; the others are contended.
   */
  claim(batch: ClaimBatch): Promise<readonly ClaimAnswer[]>;

  /** Marks claims completed and stores their results. `done` also when this very token completed it before. */
  complete(completions: readonly Completion[], options?: EndOptions): Promise<readonly EndAnswer[]>;

  /** Ends leases at once and keeps the rows for their claimants. */
  fail(claims: readonly ClaimRef[], options?: EndOptions): Promise<readonly EndAnswer[]>;

  /** Gives rows back to the pool: owner null, `set` undone, the resource's token remembered. */
  release(pool: PoolDefinition, claims: readonly ClaimRef[], options?: EndOptions): Promise<readonly EndAnswer[]>;

  /** Makes leases last `ttlMs` from now. `lost`: the claim has ended or has a newer token. */
  renew(claims: readonly ClaimRef[], ttlMs: number): Promise<readonly EndAnswer[]>;
}

/** The quick way for claimants that most likely have no claim yet, beside `Ledger`, for a ledger that has one. */
export interface NewClaims {
  /**
   * Tries requests of any scopes as those of claimants without a claim, in one statement.
   * After: those that were claimed, in the order asked; undefined for the others, of which nothing happened: ask `Ledger.claim` for them
   * with `triedAsNew`. It picks no rows.
   * Throws as `Ledger`: what happened is unknown then. Asking `Ledger.claim` with the same holders tells.
   */
  claimNew(batch: ClaimBatch): Promise<readonly (ClaimAnswer | undefined)[]>;
}

/** Writes that commit only under the newest token; beside `Ledger`, since only a database can do it. */
export interface FencedTransactions {
  /**
   * Runs `work` in one transaction in which the claim's token is the newest and stays so until commit; with `completion`, the
   * same transaction also completes the claim with what it makes of work's value.
   * After: all of it is committed. Died in between: none of it is.
   * Throws FENCED: a newer token exists or the claim has ended, nothing was written; COMMIT_UNKNOWN: the answer to COMMIT was
   * lost and reading the ledger again did not settle it; whatever `work` or `completion` throws, after rolling back.
   */
  transact<T>(claim: ClaimRef, work: (tx: Transaction) => Promise<T>, completion?: (value: T) => StoredResult): Promise<T>;
}

/**
 * What a claim is about, and its fence: token and resource together. Tokens count by resource, so a claimant that released one row
 * and claimed another may meet the same number again.
 */
export interface ClaimRef {
  readonly pool: string;
  readonly scope: string;
  readonly claimant: string;
  readonly resourceId: string;
  readonly token: bigint;
}

/** One claimant that wants a row. */
export interface ClaimRequest {
  readonly scope: Scope;
  readonly claimant: string;
  /** Random per acquisition: recognises our own claim after a lost answer. */
  readonly holder: string;
  /** The broker's id of the message, for people who look into the ledger. */
  readonly messageId: string | null;
  /** The id of the row wanted; null for any. */
  readonly pick: string | null;
}

/** Claimants that want a row of the same pool, each of its scope; the scopes are of the same columns. */
export interface ClaimBatch {
  readonly pool: PoolDefinition;
  readonly ttlMs: number;
  /** A completed claim is claimed again instead of answered `replayed`. */
  readonly rerun: boolean;
  /** `NewClaims.claimNew` was asked before. @default false */
  readonly triedAsNew?: boolean;
  readonly requests: readonly ClaimRequest[];
}

/** A row of the user's table, by column. */
export type Row = Record<string, unknown>;

export type ClaimAnswer =
  | {
      readonly status: "claimed";
      readonly claim: ClaimRef;
      /** The row as it is after the claim. */
      readonly row: Row;
      readonly attempt: number;
      readonly resumed: boolean;
    }
  | { readonly status: "replayed"; readonly result: StoredResult }
  | { readonly status: "contended"; readonly retryAfterMs: number }
  | { readonly status: "empty" }
  | { readonly status: "taken" }
  /** This member alone could not be claimed; the others of its batch were. */
  | { readonly status: "refused"; readonly error: ExclaimError };

/** JSON text of a handler's result; undefined when it returned nothing. */
export type StoredResult = string | undefined;

export interface Completion {
  readonly claim: ClaimRef;
  readonly result: StoredResult;
}

export interface EndOptions {
  /**
   * Wait for a claim that a transaction holds, up to the statement's time limit, instead of answering `busy`. For one claim alone: a
   * batch that waits holds up strangers. @default false
   */
  readonly wait?: boolean;
}

/**
 * `busy`: a transaction holds the claim's row at this moment; ask again, or with `wait`.
 * `refused`: the database would not do it for this claim, a trigger of the user's table for one; the others were done.
 */
export type EndAnswer = "done" | "lost" | "busy" | { readonly refused: ExclaimError };

/** Reading, apart from claiming. */
export interface ClaimLookup {
  /** A claimant's claim in a pool and scope; null also when either does not fit its column. Throws as `Ledger` does. */
  find(pool: PoolDefinition, scope: Scope, claimant: string): Promise<FoundClaim | null>;
}

export interface FoundClaim {
  /** `resourceId` is empty once the claim is released. */
  readonly claim: ClaimRef;
  readonly status: "held" | "completed" | "failed" | "released";
  readonly messageId: string | null;
  /** What is left of the lease in ms; 0 when it is over or there is none. */
  readonly leaseMs: number;
}

/** What a handler can do inside a fenced transaction. */
export interface Transaction {
  /** Runs one statement in the transaction. */
  query<R extends Row = Row>(text: string, values?: readonly unknown[]): Promise<{ rows: R[]; rowCount: number | null }>;
  /**
   * Records a message that is published once, and only if, this transaction commits.
   * Shape: `topic` names where it goes, `payload` is stored as JSON; both are checked against `OutboxTopics` once that has topics.
   * Returns the message's id, by which a receiver can tell a second delivery. `exclaim/outbox` sends it.
   */
  publish<T extends TopicName>(topic: T, payload: TopicPayload<T>): Promise<string>;
  readonly token: bigint;
  /** The raw connection, inside the transaction: for query builders. Do not commit, roll back or keep it. */
  readonly client: unknown;
}
