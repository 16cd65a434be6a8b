import { ExclaimError, isExclaimError } from "../errors.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { HeldClaim } from "./held-claim.ts";
import type { Lease } from "./lease.ts";
import type { PoolClaimRequest } from "./pool.ts";
import { releaseLater } from "./release-later.ts";

/** Runs the handler under its lease and ends the claim by what came of it. Never throws. */
export async function runHandler<R extends object, T>(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  handler: (claim: Claim<R>) => Promise<T>,
  claim: HeldClaim<R>,
  lease: Lease,
): Promise<Outcome<T>> {
  const stopListening = cancelWith(request.signal, lease);
  try {
    // The answer may have been long on its way: a lease that is over already must not start a handler.
    lease.assertTrusted();
    const returned = await handler(claim);
    await claim.lastEnding();
    if (claim.state === "released") return { status: "completed", result: returned };
    if (claim.state !== "completed") await claim.completeWith(returned);
    return { status: "completed", result: claim.result as T };
  } catch (error) {
    return await failed(parts, pool, request, claim, lease, error);
  } finally {
    stopListening();
  }
}

/** A claim that cannot be trusted is lost, whatever the handler threw on the way out: another delivery goes on with it. */
async function failed<R extends object, T>(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  claim: HeldClaim<R>,
  lease: Lease,
  error: unknown,
): Promise<Outcome<T>> {
  await claim.lastEnding().catch(() => {});
  if (claim.state === "completed" || claim.state === "released") return { status: "failed", error };
  // Whatever of the handler still runs must not take its claim for trusted until a renewal says otherwise.
  if (isExclaimError(error, "FENCED")) lease.lose(error);
  if (lease.isLost() && !isExclaimError(lease.signal.reason, "HOLD_EXCEEDED")) {
    const reason = abortReason(lease, error);
    if (reason.code === "CLOSED") return { status: "failed", error: reason };
    await endLostLease(parts, lease);
    return { status: "lost", error: reason };
  }

  const cause = lease.signal.aborted ? abortReason(lease, error) : error;
  claim.end(
    new ExclaimError("CLAIM_ENDED", "the handler failed: what is left of it must stop", { claimant: claim.claimant, cause }),
  );
  await endLease(parts, pool, request, lease, cause);
  // The handler ran, so its effects are made: such a message is put off a bounded number of times, unlike one that never started.
  if (isExclaimError(cause, "COMMIT_UNKNOWN") || isExclaimError(cause, "DATABASE_UNREACHABLE")) {
    return { status: "lost", error: cause };
  }
  return { status: "failed", error: cause };
}

/**
 * What lost the lease may have left the ledger's record as it was: an outer lock that is gone, a stalled process. It is ended, so that
 * the next delivery need not wait for it to run out. The token keeps this from touching a claim that somebody has resumed.
 */
async function endLostLease(parts: EngineParts, lease: Lease): Promise<void> {
  try {
    await parts.batches.fail(lease.claim);
  } catch (failure) {
    if (isExclaimError(failure, "FENCED")) return;
    parts.events.emit("background:failed", { what: `ending the lost lease of ${lease.claim.claimant}`, error: failure });
  }
}

/**
 * Keeps the row for the claimant or gives it back. A ledger that cannot be reached ends the lease by itself in time; a row that is
 * to go back to its pool is given back once the ledger can be reached again.
 */
async function endLease(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  lease: Lease,
  error: unknown,
): Promise<void> {
  const keeps = keepsRow(request, error);
  try {
    if (keeps) await parts.batches.fail(lease.claim);
    else await parts.batches.release(pool, lease.claim);
  } catch (failure) {
    parts.events.emit("background:failed", { what: `ending the lease of ${lease.claim.claimant}`, error: failure });
    if (!keeps && isExclaimError(failure, "DATABASE_UNREACHABLE")) void releaseLater(parts, pool, lease.claim);
  }
}

/** Errors after which the message will be back, whatever attempt this was. */
const MESSAGE_RETURNS = ["CLOSED", "DATABASE_UNREACHABLE", "COMMIT_UNKNOWN"] as const;

function keepsRow(request: PoolClaimRequest, error: unknown): boolean {
  // A shutdown or a database that does not answer says nothing against the claimant: the message will be back.
  if (MESSAGE_RETURNS.some((code) => isExclaimError(error, code))) return true;
  const verdict = request.judge?.(error) ?? "failure";
  if (verdict === "pause") return true;
  const isGivenUp = verdict === "final" || request.lastAttempt === true;
  const onFailure = request.onFailure ?? "keep";
  return (isGivenUp ? (request.onGiveUp ?? onFailure) : onFailure) === "keep";
}

/** The reason of the abort, with what the handler threw as its cause; an ExclaimError whatever the caller aborted with. */
function abortReason(lease: Lease, thrown: unknown): ExclaimError {
  const reason: unknown = lease.signal.reason;
  if (reason === thrown && isExclaimError(reason)) return reason;
  if (isExclaimError(reason)) return new ExclaimError(reason.code, reason.message, { ...reason.details, cause: thrown });
  return new ExclaimError("ABORTED", "the delivery was aborted", { claimant: lease.claim.claimant, cause: thrown });
}

/** Merges the caller's abort into the claim's own. Returns the function that parts them again. */
function cancelWith(signal: AbortSignal | undefined, lease: Lease): () => void {
  if (signal === undefined) return () => {};
  const cancel = (): void => {
    const reason: unknown = signal.reason;
    lease.cancel(
      isExclaimError(reason)
        ? reason
        : new ExclaimError("ABORTED", "the delivery was aborted by its caller", {
            claimant: lease.claim.claimant,
            cause: reason,
          }),
    );
  };
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}
