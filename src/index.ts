/**
 * exclaim: every message gets a resource of its own.
 *
 * The path of a message, and where each step lives:
 *
 *     delivery -> queue/ -> claim/ -> lock/ -> ledger/ (claim row) -> handler -> ledger/ (complete) -> settle/ -> queue/
 *
 * - `queue/`  turns a broker's message into a claim request and applies the disposition; one file a broker
 * - `claim/`  the engine, the only folder that knows the order of things
 * - `lease/`  how the right to work is won, waited for, kept and lost, whatever it rests on
 * - `lock/`   the outer lock: `lock.ts` is the contract, every other file one product
 * - `ledger/` what the database remembers: one file a statement
 * - `settle/` outcome and policy make a disposition; pure
 *
 * Brokers and lock products are entries of their own (`exclaim/bullmq`, `exclaim/lock/redlock`): nothing here imports a client.
 */
export type { Claim } from "./claim/claim.ts";
export {
  createExclaim,
  DEFAULT_DRAIN_MS,
  DEFAULT_SCHEMA,
  DEFAULT_TTL_MS,
  type Exclaim,
  type ExclaimOptions,
} from "./claim/create-exclaim.ts";
export type { DeadLetterNote } from "./claim/note-dead-letter.ts";
export type { ClaimOptions, GiveUpRequest, LockBy, Pool, PoolClaimRequest } from "./claim/pool.ts";
export type { Beat, BeatOptions, Resource, ResourceClaimOptions, ResourceClaimRequest } from "./claim/resource.ts";
export type { MessageEnd, RowNote } from "./claim/row-note.ts";
export { ExclaimError, type ExclaimErrorCode, type ExclaimErrorDetails, isExclaimError } from "./errors.ts";
export type { ClaimSubject, DeadLetterSubject, ExclaimEvents } from "./events.ts";
export type { AcquireLockOptions, ContendedLock, HeldLock, Locks } from "./lease/locks.ts";
export type { Database } from "./ledger/database.ts";
export type {
  ImportCounts,
  ImportReportRow,
  ImportRowState,
  ImportState,
  ImportStatus,
  Imports,
} from "./ledger/imports.ts";
export type { Row, Transaction } from "./ledger/ledger.ts";
export type { OutboxTopics, TopicName, TopicPayload } from "./ledger/outbox-topics.ts";
export type { ColumnValue, PoolDefinition, Scope } from "./ledger/pool-definition.ts";
export type {
  AcquireOptions,
  LockAttempt,
  LockBackend,
  LockCapabilities,
  LockLease,
  LockMode,
  LockWaiter,
} from "./lock/lock.ts";
export type { Outcome } from "./settle/outcome.ts";
export type {
  ContentionRule,
  DeliveryPolicy,
  Disposition,
  Rule,
  RuleContext,
  RuleOption,
  SettlePolicy,
} from "./settle/policy.ts";
