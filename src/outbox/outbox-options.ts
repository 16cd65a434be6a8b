import type { Database } from "../ledger/database.ts";
import type { TargetOptions, TargetSource } from "./target-of.ts";

/** Where the messages of a topic go. */
export interface TopicTarget extends TargetOptions {
  readonly to: TargetSource;
}

export interface OutboxOptions extends TargetOptions {
  /** A `pg.Pool`: the database of the ledger. The caller owns it and ends it, after `close()`. */
  readonly database: Database;
  /** The schema of the ledger. @default "exclaim" */
  readonly schema?: string;
  /** Where messages go of every topic that `topics` does not name. @default none: those are left to other dispatchers */
  readonly to?: TargetSource;
  /** Where the messages of single topics go. @default none */
  readonly topics?: Readonly<Record<string, TopicTarget>>;
  /** Messages taken from the outbox at once. @default 500 */
  readonly batchSize?: number;
  /** How often a message that the broker refuses is tried before it is parked. @default 5 */
  readonly maxAttempts?: number;
  /** How long a sent row stays, in ms, for receivers' questions and people's. @default 604_800_000, a week */
  readonly retentionMs?: number;
  /** How often to look although nothing was heard, in ms. @default 1_000 */
  readonly pollMs?: number;
  /** Told of what failed and will be tried again, and of rows that are parked. What it throws is dropped. @default a warning of the process */
  readonly onError?: (error: unknown) => void;
}

/** A dispatcher at work. */
export interface OutboxDispatcher {
  /** Resolves once nothing waits in the outbox that is due: for the end of a script. Throws what keeps it from it for 10 s. */
  drain(): Promise<void>;
  /** Ends after the batch in hand. Idempotent. Never closes the caller's clients. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
