import { type ExclaimError, isExclaimError } from "../errors.ts";
import type { ClaimAnswer } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import { poolClaimEndings } from "./end-pool-claim.ts";
import type { EngineParts } from "./engine-parts.ts";
import { rowKey, slotKey } from "./lock-key.ts";
import { OuterLocks } from "./outer-locks.ts";
import type { PoolClaimRequest } from "./pool.ts";
import { storableId } from "./storable-id.ts";
import { replayedResult, storedResult } from "./stored-result.ts";
import { workUnderLease } from "./work-under-lease.ts";

type Claimed = Extract<ClaimAnswer, { status: "claimed" }>;

/**
 * The path of one delivery through the engine: lock the slot, claim in the ledger, lock the row, run the handler and end the claim,
 * give the locks back. `waitMs` is how long other holders of the slot's lock are waited for.
 * Died in between: locks and lease run out, the next delivery resumes the row.
 * Throws what broke before the handler ran; the caller makes it an outcome.
 */
export async function deliverClaim<R extends object, T>(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  waitMs: number,
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const locks = new OuterLocks(parts, { waitMs, signal: request.signal });
  try {
    return await deliverUnder(locks, parts, pool, request, handler);
  } finally {
    if (locks.areHeld) await locks.release();
  }
}

async function deliverUnder<R extends object, T>(
  locks: OuterLocks,
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const lockBy = request.lockBy ?? "claimant";
  const scope = request.scope ?? {};
  if (lockBy !== "row" && locks.areWanted) {
    const slot = await locks.take(slotKey(pool.table, scope, request.claimant));
    if (slot !== "held") return { status: "contended", retryAfterMs: slot.retryAfterMs };
  }

  const { answer, sentAtMs } = await parts.batches.claim({
    pool,
    rerun: request.onReplay === "rerun",
    request: {
      scope,
      claimant: request.claimant,
      holder: parts.random.id(),
      messageId: storableId(request.messageId),
      pick: request.pick ?? null,
    },
  });
  if (answer.status !== "claimed") return refusedOutcome<T>(answer);
  const { stopReason } = parts.holding.running;
  if (stopReason !== undefined) return await handBack(parts, answer, stopReason);

  if (lockBy !== "claimant" && locks.areWanted) {
    const row = await lockRow(parts, locks, pool, answer);
    if (row !== "held") return { status: "contended", retryAfterMs: row.retryAfterMs };
  }

  const { claim } = answer;
  return await workUnderLease<R, T>(
    parts,
    {
      subject: { pool: pool.table, claimant: claim.claimant },
      facts: {
        row: answer.row as R,
        key: claim.resourceId,
        claimant: claim.claimant,
        token: claim.token,
        attempt: answer.attempt,
        resumed: answer.resumed,
      },
      record: {
        transact: (work, completion) => parts.ledger.transact(claim, work, completion),
        stored: storedResult,
        complete: (result) => parts.batches.complete({ claim, result }),
        release: () => parts.batches.release(pool, claim),
      },
      endings: poolClaimEndings(parts, pool, request, claim),
      guards: [{ guard: parts.batches.guard(claim), sentAtMs }, ...locks.guards()],
      abandon: () => Promise.all([parts.batches.abandon(claim), locks.release()]),
    },
    request,
    handler,
  );
}

function refusedOutcome<T>(answer: Exclude<ClaimAnswer, Claimed>): Outcome<T> {
  switch (answer.status) {
    case "replayed":
      return { status: "replayed", result: replayedResult(answer.result) as T };
    case "refused":
      return { status: "failed", error: answer.error };
    default:
      return answer;
  }
}

/** A claim that was answered after running handlers were told to stop: its handler must not start any more. */
async function handBack<T>(parts: EngineParts, answer: Claimed, reason: ExclaimError): Promise<Outcome<T>> {
  await parts.ledger.fail([answer.claim]).catch((error: unknown) => {
    parts.events.emit("background:failed", { what: "ending a lease won while closing", error });
  });
  return { status: "failed", error: reason };
}

/** A row that other code has locked stays its claimant's: only the lease ends, so that the next delivery tries again at once. */
async function lockRow(parts: EngineParts, locks: OuterLocks, pool: PoolDefinition, answer: Claimed) {
  try {
    const row = await locks.tryOnce(rowKey(pool.table, answer.claim.resourceId));
    if (row !== "held") {
      await parts.batches.fail(answer.claim).catch((error: unknown) => {
        // Its lease ran out meanwhile and another delivery took it over: nothing is left to end, and no attempt is to be burned for it.
        if (!isExclaimError(error, "FENCED")) throw error;
      });
    }
    return row;
  } catch (error) {
    await parts.batches.fail(answer.claim).catch((failure: unknown) => {
      parts.events.emit("background:failed", { what: "ending a lease whose row could not be locked", error: failure });
    });
    throw error;
  }
}
