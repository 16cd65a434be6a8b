import { ExclaimError } from "../errors.ts";
import { Holding } from "../lease/holding.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { rowBatches } from "./account-row.ts";
import { poolOf } from "./claim-from-pool.ts";
import { resourceOf } from "./claim-resource.ts";
import type { EngineParts, EnginePorts } from "./engine-parts.ts";
import { LedgerBatches } from "./ledger-batches.ts";
import { deadLetterBatches } from "./note-dead-letter.ts";
import type { Pool } from "./pool.ts";
import type { Resource } from "./resource.ts";
import { ResourceBatches } from "./resource-batches.ts";

export interface Engine {
  pool<R extends object>(definition: PoolDefinition): Pool<R>;
  resource(name: string): Resource;
  readonly holding: Holding;
  /**
   * Takes no new claims, waits up to `drainMs` for the running ones, then aborts them, gives them a last moment, and ends the leases
   * of those that are still there, so that another process can go on at once. Idempotent.
   */
  close(drainMs: number): Promise<void>;
}

/** Builds the engine over its ports. */
export function createEngine(ports: EnginePorts): Engine {
  const holding = new Holding(ports);
  const parts = claimParts(ports, holding);

  return {
    holding,
    pool: (definition) => poolOf(withLedger(), definition),
    resource: (name) => resourceOf(withLedger(), name),
    close: (drainMs) => holding.close(drainMs),
  };

  function withLedger(): EngineParts {
    if (parts !== undefined) return parts;
    throw new ExclaimError("CONFIG_INVALID", "claims need a database: give createExclaim `database`, a pg.Pool");
  }
}

function claimParts(ports: EnginePorts, holding: Holding): EngineParts | undefined {
  const { ledger, resourceLedger, deadLetters, importOutcomes, clock, ttlMs } = ports;
  if (ledger === undefined || resourceLedger === undefined) return undefined;
  if (deadLetters === undefined || importOutcomes === undefined) return undefined;
  const batches = new LedgerBatches(ledger, clock, ttlMs);
  return {
    ...ports,
    ledger,
    resourceLedger,
    batches,
    resources: new ResourceBatches(resourceLedger, clock, ttlMs),
    deadLetterBatches: deadLetterBatches(deadLetters, clock),
    rowBatches: rowBatches(importOutcomes, clock),
    holding,
  };
}
