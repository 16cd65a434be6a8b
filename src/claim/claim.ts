import type { Transaction } from "../ledger/ledger.ts";

/**
 * What a handler holds while it runs: its row, its token, and the right to write under it.
 * One object for the whole delivery; it never changes hands.
 */
export interface Claim<R = unknown> {
  /** The claimed row as it is after the claim; undefined for a named resource. */
  readonly row: R;
  /** The row's id as text; the key of a named resource. */
  readonly key: string;
  readonly claimant: string;
  /** Fencing token: strictly greater than every token this resource had before. A string when you send it anywhere as JSON. */
  readonly token: bigint;
  /** From 1; grows each time the same claim is worked on again. */
  readonly attempt: number;
  /** An earlier delivery had this row already and did not complete. */
  readonly resumed: boolean;
  /**
   * Aborts when the claim can no longer be trusted: lease lost, broker cancelled, shut down, held too long. The reason is an
   * `ExclaimError`. A stalled event loop delays it: call `assertHeld()` before an effect outside the database.
   */
  readonly signal: AbortSignal;

  /** Throws LEASE_LOST, HOLD_EXCEEDED, ABORTED or CLOSED unless the claim can be trusted at this instant, by the monotonic clock. */
  assertHeld(): void;

  /**
   * Runs `work` in one database transaction that commits only while this token is the newest. As often as you like.
   * Died in between: nothing of it happened.
   * Throws what `work` throws; FENCED; LEASE_LOST; COMMIT_UNKNOWN.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;

  /**
   * Completes the claim: the fence check, what `work` writes, its published messages and the stored result are one transaction.
   * At most once. A handler that never calls it is completed with its return value.
   * After: a redelivery is answered with the stored result and does not run the handler. For a named resource, which stores no result:
   * its lease is over, and a redelivery runs again.
   * Throws as `transaction`, and RESULT_NOT_SERIALIZABLE (nothing is committed), CLAIM_ENDED (called twice).
   */
  complete(): Promise<undefined>;
  complete<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;

  /**
   * Gives the row back to the pool. The claim is over; the handler should return.
   * After: the row is free for others and this claimant has none. For a named resource: its lease is over, as completed.
   */
  release(): Promise<void>;
}
