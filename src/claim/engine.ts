import { ExclaimError, isExclaimError } from "../errors.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import { checkRequest } from "./check-request.ts";
import type { Claim } from "./claim.ts";
import { deliverClaim } from "./deliver-claim.ts";
import type { EngineParts, EnginePorts } from "./engine-parts.ts";
import { giveUpClaim } from "./give-up-claim.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { LedgerBatches } from "./ledger-batches.ts";
import { LockGuard } from "./lock-guard.ts";
import type { GiveUpRequest, Pool, PoolClaimRequest } from "./pool.ts";
import { Running } from "./running.ts";

export interface Engine {
  pool<R extends object>(definition: PoolDefinition): Pool<R>;
  /**
   * Takes no new claims, waits up to `drainMs` for the running ones, then aborts them, gives them a last moment, and ends the leases
   * of those that are still there, so that another process can go on at once. Idempotent.
   */
  close(drainMs: number): Promise<void>;
}

/** Builds the engine over its ports. */
export function createEngine(ports: EnginePorts): Engine {
  const parts: EngineParts = {
    ...ports,
    batches: new LedgerBatches(ports.ledger, ports.clock, ports.ttlMs),
    keeper: new LeaseKeeper(ports),
    guard: new LockGuard(ports),
    running: new Running(ports.clock),
  };
  let closing: Promise<void> | undefined;

  return {
    pool<R extends object>(definition: PoolDefinition): Pool<R> {
      return {
        name: definition.table,
        claim: <T>(request: PoolClaimRequest, handler: (claim: Claim<R>) => Promise<T>) =>
          claimOnce(definition, request, handler),
        giveUp: (request: GiveUpRequest) => giveUpClaim(parts, definition, request),
        jitter: () => ports.random.fraction(),
      };
    },
    close(drainMs) {
      closing ??= closeOnce(drainMs);
      return closing;
    },
  };

  async function claimOnce<R extends object, T>(
    definition: PoolDefinition,
    request: PoolClaimRequest,
    handler: (claim: Claim<R>) => Promise<T>,
  ): Promise<Outcome<T>> {
    const outcome = await runClaim(definition, request, handler);
    ports.events.emit("claim:ended", {
      pool: definition.table,
      claimant: typeof request?.claimant === "string" ? request.claimant.slice(0, 128) : "",
      status: outcome.status,
      ...("error" in outcome ? { error: outcome.error } : {}),
    });
    return outcome;
  }

  async function runClaim<R extends object, T>(
    definition: PoolDefinition,
    request: PoolClaimRequest,
    handler: (claim: Claim<R>) => Promise<T>,
  ): Promise<Outcome<T>> {
    if (closing !== undefined) return { status: "failed", error: closed() };
    if (typeof handler !== "function") return { status: "failed", error: noHandler() };
    const done = parts.running.enter();
    try {
      checkRequest(request);
      assertNotAborted(request.signal);
      return await deliverClaim(parts, definition, request, handler);
    } catch (error) {
      return { status: "failed", error };
    } finally {
      done();
    }
  }

  async function closeOnce(drainMs: number): Promise<void> {
    await parts.running.drain(drainMs, closed());
    const left = parts.running.leases();
    parts.keeper.stop();
    for (const lease of left) lease.lose(closed());
    // One try that waits for no locked row: what it does not reach runs out by itself, and the process has been told to end.
    await ports.ledger.fail(left.map((lease) => lease.claim)).catch((error: unknown) => {
      ports.events.emit("background:failed", { what: `ending ${left.length} leases at close`, error });
    });
    await Promise.all(left.flatMap((lease) => lease.locks).map((lock) => parts.guard.release(lock)));
  }
}

/** A caller that gave up before it began must not be given a row. */
function assertNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (isExclaimError(reason)) throw reason;
  throw new ExclaimError("ABORTED", "the delivery was aborted by its caller before it claimed", { cause: reason });
}

function noHandler(): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", "claim(request, handler): the handler is not a function");
}

function closed(): ExclaimError {
  return new ExclaimError("CLOSED", "exclaim is closing: it takes no new claims, another process will");
}
