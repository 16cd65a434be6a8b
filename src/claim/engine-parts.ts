import type { Holding, HoldingPorts } from "../lease/holding.ts";
import type { DeadLetter, DeadLetters } from "../ledger/dead-letters.ts";
import type { GroupCommit } from "../ledger/group-commit.ts";
import type { ImportOutcomes, RowOutcome } from "../ledger/imports.ts";
import type { ClaimLookup, FencedTransactions, Ledger, NewClaims } from "../ledger/ledger.ts";
import type { ResourceLedger, ResourceTransactions } from "../ledger/resource-ledger.ts";
import type { LedgerBatches } from "./ledger-batches.ts";
import type { ResourceBatches } from "./resource-batches.ts";

/** Everything the engine touches. The same engine runs in production and in simulation; only these differ. */
export interface EnginePorts extends HoldingPorts {
  /** Undefined: locks alone, no claims. */
  readonly ledger: (Ledger & Partial<NewClaims> & FencedTransactions & ClaimLookup) | undefined;
  readonly resourceLedger: (ResourceLedger & ResourceTransactions) | undefined;
  readonly deadLetters: DeadLetters | undefined;
  readonly importOutcomes: ImportOutcomes | undefined;
}

/** What one engine's deliveries share. */
export interface EngineParts extends HoldingPorts {
  readonly ledger: Ledger & Partial<NewClaims> & FencedTransactions & ClaimLookup;
  readonly resourceLedger: ResourceLedger & ResourceTransactions;
  readonly batches: LedgerBatches;
  readonly resources: ResourceBatches;
  readonly deadLetterBatches: GroupCommit<DeadLetter, true>;
  readonly rowBatches: GroupCommit<RowOutcome, true>;
  readonly holding: Holding;
}
