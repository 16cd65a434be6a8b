import { isExclaimError } from "../errors.ts";
import type { ClaimRef } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { PoolClaimRequest } from "./pool.ts";
import { releaseLater } from "./release-later.ts";
import type { Endings } from "./run-handler.ts";

/** Errors after which the message will be back, whatever attempt this was. */
const MESSAGE_RETURNS = ["CLOSED", "DATABASE_UNREACHABLE", "COMMIT_UNKNOWN"] as const;

/**
 * How a pool claim that was not completed ends: the row is kept for the claimant or given back. A ledger that cannot be reached ends
 * the lease by itself in time; a row that is to go back to its pool is given back once the ledger can be reached again.
 */
export function poolClaimEndings(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  claim: ClaimRef,
): Endings {
  return {
    async failed(error) {
      const keeps = keepsRow(request, error);
      try {
        if (keeps) await parts.batches.fail(claim);
        else await parts.batches.release(pool, claim);
      } catch (failure) {
        tell(`ending the lease of ${claim.claimant}`, failure);
        if (!keeps && isExclaimError(failure, "DATABASE_UNREACHABLE")) void releaseLater(parts, pool, claim);
      }
    },
    // The token keeps this from touching a claim that somebody has resumed.
    async lost() {
      try {
        await parts.batches.fail(claim);
      } catch (failure) {
        if (!isExclaimError(failure, "FENCED")) tell(`ending the lost lease of ${claim.claimant}`, failure);
      }
    },
  };

  function tell(what: string, error: unknown): void {
    parts.events.emit("background:failed", { what, error });
  }
}

function keepsRow(request: PoolClaimRequest, error: unknown): boolean {
  // A shutdown or a database that does not answer says nothing against the claimant: the message will be back.
  if (MESSAGE_RETURNS.some((code) => isExclaimError(error, code))) return true;
  const verdict = request.judge?.(error) ?? "failure";
  if (verdict === "pause") return true;
  const isGivenUp = verdict === "final" || request.lastAttempt === true;
  const onFailure = request.onFailure ?? "keep";
  return (isGivenUp ? (request.onGiveUp ?? onFailure) : onFailure) === "keep";
}
