import type { Clock } from "../clock.ts";
import type { EventSource } from "../events.ts";
import type { ClaimLookup, FencedTransactions, Ledger } from "../ledger/ledger.ts";
import type { LockBackend } from "../lock/lock.ts";
import type { Random } from "../random.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import type { LedgerBatches } from "./ledger-batches.ts";
import type { LockGuard } from "./lock-guard.ts";
import type { Running } from "./running.ts";

/** Everything the engine touches. The same engine runs in production and in simulation; only these differ. */
export interface EnginePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly ledger: Ledger & FencedTransactions & ClaimLookup;
  readonly lock: LockBackend | undefined;
  readonly events: EventSource;
  readonly ttlMs: number;
}

/** What one engine's deliveries share. */
export interface EngineParts extends EnginePorts {
  readonly batches: LedgerBatches;
  readonly keeper: LeaseKeeper;
  readonly guard: LockGuard;
  readonly running: Running;
}
