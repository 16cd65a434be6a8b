import type { ExclaimErrorDetails } from "../errors.ts";
import type { Query } from "./database.ts";
import type { StoredResult } from "./ledger.ts";

/** What a fenced transaction is fenced by: the durable record of a claim or a lease, and the token that must be its newest. */
export interface Fence {
  /** What it is called in messages. */
  readonly noun: "claim" | "lease";
  readonly token: bigint;
  /**
   * Locks the record FOR KEY SHARE if the token is its newest: no takeover, release or end by others slips in before COMMIT, while the
   * holder's own renewals pass. Answers one row, `id` pg_current_xact_id() as text, or none.
   */
  readonly hold: Query;
  /** Ends it as completed inside the transaction; one row when that was done. */
  end(result: StoredResult): Query;
  /** Columns of the outbox that say whose a message is. */
  readonly publisher: Readonly<Record<string, string>>;
  readonly details: ExclaimErrorDetails;
}
