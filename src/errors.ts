/**
 * The one error class of exclaim and its stable codes.
 *
 * A code names breakage only. Contention, an empty pool, a taken row and a replay are outcomes, never errors.
 */

/** Every code an `ExclaimError` can carry. Codes are stable: branch on them, never on message text. */
export type ExclaimErrorCode =
  /** An option given to exclaim is wrong or contradicts another. */
  | "CONFIG_INVALID"
  /** A pool definition does not fit the database: table, column, id or `where`. */
  | "POOL_INVALID"
  /** The message has no claimant: empty, missing, or the text of a missing value such as "undefined". */
  | "CLAIMANT_MISSING"
  /** The claimant cannot be used: too long, a NUL byte, or it does not fit the owner column's type. */
  | "CLAIMANT_INVALID"
  /** The message has no key for its named resource: empty, missing, or the text of a missing value. */
  | "KEY_MISSING"
  /** The key cannot be used: too long, a NUL byte, half a character. */
  | "KEY_INVALID"
  /** The scope cannot be used: a null value, a value that does not fit its column, or too long. */
  | "SCOPE_INVALID"
  /** The row picked by id cannot be used: it does not fit the id column's type. */
  | "PICK_INVALID"
  /** The database refused this claim alone: a trigger or constraint of the pool table raised. */
  | "CLAIM_REFUSED"
  /** The claimed row was removed or given to another owner behind exclaim's back. */
  | "ROW_CHANGED"
  /** The handler's result cannot be stored as JSON (a bigint, a cycle). */
  | "RESULT_NOT_SERIALIZABLE"
  /** What was to be published cannot be stored as JSON (a bigint, a cycle), or has no topic. */
  | "PAYLOAD_INVALID"
  /** The message's payload cannot be used: not JSON, too large, too deep, or refused by `parse`. */
  | "MESSAGE_INVALID"
  /** A row of an import cannot be used: its parser or `validate` refused it, or it has no key. */
  | "ROW_INVALID"
  /** An earlier row of the same import has this row's key. */
  | "ROW_DUPLICATED"
  /** More rows of an import were rejected than `maxRejected` allows: it stopped there. */
  | "TOO_MANY_REJECTED"
  /** The import of this id has another source: give the new one an id of its own. */
  | "IMPORT_MISMATCH"
  /** There is no import of this id. */
  | "IMPORT_UNKNOWN"
  /** The broker did not take messages, or its connection broke: any of them may be with it, and sending them again is safe. */
  | "BROKER_UNREACHABLE"
  /** The broker will not take this message: no queue for it, an id it refuses, too large. */
  | "MESSAGE_REFUSED"
  /** Too few lock nodes answered. Fields name the nodes and their causes. */
  | "LOCK_UNREACHABLE"
  /** The database did not answer, or the connection broke. */
  | "DATABASE_UNREACHABLE"
  /** The ledger's schema is missing or older than this release: run `migrate()`. */
  | "SCHEMA_OUTDATED"
  /** The answer to a COMMIT was lost, and the server could not be asked in time or has crashed since. */
  | "COMMIT_UNKNOWN"
  /** A statement inside a fenced transaction failed and its error was swallowed: all of the transaction was rolled back. */
  | "TRANSACTION_ABORTED"
  /** The lease can no longer be trusted: its local deadline passed, or the server says it is not ours. */
  | "LEASE_LOST"
  /** A fenced write was refused: a newer token exists, or the claim has ended. */
  | "FENCED"
  /** The claim was used after it was completed, released or ended. */
  | "CLAIM_ENDED"
  /** The claim was held longer than `maxHoldMs`. */
  | "HOLD_EXCEEDED"
  /** The broker or the caller aborted the delivery. */
  | "ABORTED"
  /** `close()` was called: no new claims, and running ones were aborted after the drain. */
  | "CLOSED"
  /** A delivery was refused by policy: contended too often, pool empty, row taken. */
  | "REFUSED";

/** What an error is about, as data; every field is optional and free of secrets. */
export interface ExclaimErrorDetails {
  readonly pool?: string;
  readonly table?: string;
  readonly column?: string;
  readonly claimant?: string;
  readonly resource?: string;
  readonly key?: string;
  readonly backend?: string;
  /** One entry a node that did not answer as it should. */
  readonly nodes?: readonly { readonly node: string; readonly cause: string }[];
}

const BRAND = Symbol.for("exclaim.error");

/**
 * The error exclaim throws and reports.
 * Shape: `code` is stable, `message` says what failed and what to do, `cause` keeps the original error, `details` is data.
 */
export class ExclaimError extends Error {
  override readonly name: string = "ExclaimError";
  readonly code: ExclaimErrorCode;
  readonly details: ExclaimErrorDetails;
  /** Survives two copies of the package in one process, where `instanceof` does not. */
  readonly [BRAND] = true;

  constructor(code: ExclaimErrorCode, message: string, options: { cause?: unknown } & ExclaimErrorDetails = {}) {
    const { cause, ...details } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Whether `error` is an `ExclaimError`, of any copy of the package, and, when `code` is given, of that code. */
export function isExclaimError(error: unknown, code?: ExclaimErrorCode): error is ExclaimError {
  if (typeof error !== "object" || error === null || !(BRAND in error)) return false;
  return code === undefined || (error as ExclaimError).code === code;
}
