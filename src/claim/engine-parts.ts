import type { Holding, HoldingPorts } from "../lease/holding.ts";
import type { ClaimLookup, FencedTransactions, Ledger } from "../ledger/ledger.ts";
import type { LedgerBatches } from "./ledger-batches.ts";

/** Everything the engine touches. The same engine runs in production and in simulation; only these differ. */
export interface EnginePorts extends HoldingPorts {
  /** Undefined: locks alone, no claims. */
  readonly ledger: (Ledger & FencedTransactions & ClaimLookup) | undefined;
}

/** What one engine's deliveries share. */
export interface EngineParts extends HoldingPorts {
  readonly ledger: Ledger & FencedTransactions & ClaimLookup;
  readonly batches: LedgerBatches;
  readonly holding: Holding;
}
