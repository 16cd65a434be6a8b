import { ExclaimError, isExclaimError } from "../errors.ts";
import type { Lease } from "../lease/lease.ts";
import { onAbort } from "../lease/on-abort.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { HeldClaim } from "./held-claim.ts";

/** How a claim that was not completed ends, by what it is a claim of. Neither ever throws. */
export interface Endings {
  /** The handler failed, with `error`. */
  failed(error: unknown): Promise<void>;
  /** The lease was lost. What lost it may have left the ledger's record as it was: it is ended, so that nobody waits for it to run out. */
  lost(): Promise<void>;
}

/** Runs the handler under its lease and ends the claim by what came of it. Never throws. */
export async function runHandler<R, T>(
  claim: HeldClaim<R>,
  lease: Lease,
  endings: Endings,
  signal: AbortSignal | undefined,
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const stopListening = cancelWith(signal, lease, claim.claimant);
  try {
    // The answer may have been long on its way: a lease that is over, or a delivery that was aborted, must not start a handler.
    lease.assertHeld();
    const returned = await handler(claim);
    await claim.lastEnding();
    if (claim.state === "released") return { status: "completed", result: returned, isReleased: true };
    if (claim.state !== "completed") await claim.completeWith(returned);
    return { status: "completed", result: claim.result as T };
  } catch (error) {
    return await failed(claim, lease, endings, error);
  } finally {
    stopListening();
  }
}

/** A claim that cannot be trusted is lost, whatever the handler threw on the way out: another delivery goes on with it. */
async function failed<R, T>(claim: HeldClaim<R>, lease: Lease, endings: Endings, error: unknown): Promise<Outcome<T>> {
  await claim.lastEnding().catch(() => {});
  if (claim.state === "completed" || claim.state === "released") return { status: "failed", error };
  // Whatever of the handler still runs must not take its claim for trusted until a renewal says otherwise.
  if (isExclaimError(error, "FENCED") && claim.wasRefused(error)) lease.lose(error);
  if (lease.isLost() && !isExclaimError(lease.stopReason, "HOLD_EXCEEDED")) {
    const reason = abortReason(lease, claim.claimant, error);
    if (reason.code === "CLOSED") return { status: "failed", error: reason };
    await endings.lost();
    return { status: "lost", error: reason };
  }

  const cause = lease.stopReason !== undefined ? abortReason(lease, claim.claimant, error) : error;
  claim.end(
    new ExclaimError("CLAIM_ENDED", "the handler failed: what is left of it must stop", { claimant: claim.claimant, cause }),
  );
  await endings.failed(cause);
  // The handler ran, so its effects are made: such a message is put off a bounded number of times, unlike one that never started.
  if (isExclaimError(cause, "COMMIT_UNKNOWN") || isExclaimError(cause, "DATABASE_UNREACHABLE")) {
    return { status: "lost", error: cause };
  }
  return { status: "failed", error: cause };
}

/** The reason of the abort, with what the handler threw as its cause; an ExclaimError whatever the caller aborted with. */
function abortReason(lease: Lease, claimant: string, thrown: unknown): ExclaimError {
  const reason = lease.stopReason;
  if (reason === thrown && isExclaimError(reason)) return reason;
  if (isExclaimError(reason)) return new ExclaimError(reason.code, reason.message, { ...reason.details, cause: thrown });
  return new ExclaimError("ABORTED", "the delivery was aborted", { claimant, cause: thrown });
}

/** Merges the caller's abort into the claim's own. Returns the function that parts them again. */
function cancelWith(signal: AbortSignal | undefined, lease: Lease, claimant: string): () => void {
  if (signal === undefined) return () => {};
  const cancel = (): void => {
    const reason: unknown = signal.reason;
    lease.cancel(
      isExclaimError(reason)
        ? reason
        : new ExclaimError("ABORTED", "the delivery was aborted by its caller", {
            claimant,
            cause: reason,
          }),
    );
  };
  if (signal.aborted) {
    cancel();
    return () => {};
  }
  return onAbort([signal], cancel);
}
