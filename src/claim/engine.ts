import { ExclaimError } from "../errors.ts";
import { Holding } from "../lease/holding.ts";
import { throwIfAborted } from "../lease/sleep.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import { checkRequest } from "./check-request.ts";
import type { Claim } from "./claim.ts";
import { claimWithWait } from "./claim-with-wait.ts";
import { deliverClaim } from "./deliver-claim.ts";
import type { EngineParts, EnginePorts } from "./engine-parts.ts";
import { giveUpClaim } from "./give-up-claim.ts";
import { LedgerBatches } from "./ledger-batches.ts";
import type { GiveUpRequest, Pool, PoolClaimRequest } from "./pool.ts";

export interface Engine {
  pool<R extends object>(definition: PoolDefinition): Pool<R>;
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
  const { ledger } = ports;
  const batches = ledger === undefined ? undefined : new LedgerBatches(ledger, ports.clock, ports.ttlMs);

  return {
    holding,
    pool<R extends object>(definition: PoolDefinition): Pool<R> {
      const parts = withLedger();
      return {
        name: definition.table,
        claim: <T>(request: PoolClaimRequest, handler: (claim: Claim<R>) => Promise<T>) =>
          claimFromPool(parts, definition, request, handler),
        giveUp: (request: GiveUpRequest) => giveUpClaim(parts, definition, request),
        jitter: () => ports.random.fraction(),
      };
    },
    close: (drainMs) => holding.close(drainMs),
  };

  function withLedger(): EngineParts {
    if (ledger !== undefined && batches !== undefined) return { ...ports, ledger, batches, holding };
    throw new ExclaimError("CONFIG_INVALID", "claims need a database: give createExclaim `database`, a pg.Pool");
  }
}

async function claimFromPool<R extends object, T>(
  parts: EngineParts,
  definition: PoolDefinition,
  request: PoolClaimRequest,
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const outcome = await claimOnce(parts, handler, request?.signal, () => {
    checkRequest(request);
    return claimWithWait(parts, request, (waitMs) => deliverClaim(parts, definition, request, waitMs, handler));
  });
  parts.events.emit("claim:ended", {
    pool: definition.table,
    claimant: typeof request?.claimant === "string" ? request.claimant.slice(0, 128) : "",
    status: outcome.status,
    ...("error" in outcome ? { error: outcome.error } : {}),
  });
  return outcome;
}

/** Counts the delivery as running, and makes an outcome of what is thrown. */
async function claimOnce<T>(
  parts: EngineParts,
  handler: unknown,
  signal: AbortSignal | undefined,
  deliver: () => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const done = parts.holding.running.enter();
  try {
    // A caller that gave up before it began must not be given a row.
    throwIfAborted(signal === undefined ? [parts.holding.closing] : [parts.holding.closing, signal]);
    if (typeof handler !== "function") {
      throw new ExclaimError("CONFIG_INVALID", "claim(request, handler): the handler is not a function");
    }
    return await deliver();
  } catch (error) {
    return { status: "failed", error };
  } finally {
    done();
  }
}
