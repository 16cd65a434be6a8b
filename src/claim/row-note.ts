import type { Scope } from "../ledger/pool-definition.ts";

/** How a message ends that the broker will not deliver again. */
export type MessageEnd =
  /** Its claim is completed, with this row or key. */
  | { readonly status: "completed"; readonly resourceId: string }
  /** It was answered with the result of a claim that was completed before, by this message's own earlier delivery or by another one. */
  | { readonly status: "replayed" }
  /** Without a row. `error`: why, of any type. `hasNoClaim`: its claim was just refused. @default unknown, the ledger is asked */
  | { readonly status: "given-up"; readonly error: unknown; readonly hasNoClaim?: boolean };

/** The end of a message, told before the broker is. */
export interface RowNote {
  /** The broker's id of the message: it names the import and the row. */
  readonly messageId: string;
  /** The claimant or the key. @default none: the message names none */
  readonly claimant?: string;
  /** Where in the pool it claimed. @default the whole pool */
  readonly scope?: Scope;
  readonly end: MessageEnd;
}
