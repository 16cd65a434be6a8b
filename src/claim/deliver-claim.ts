import type { ExclaimError } from "../errors.ts";
import type { ClaimAnswer } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { EngineParts } from "./engine-parts.ts";
import { HeldClaim } from "./held-claim.ts";
import { Lease } from "./lease.ts";
import type { GuardLock } from "./lock-guard.ts";
import { rowKey, slotKey } from "./lock-key.ts";
import type { PoolClaimRequest } from "./pool.ts";
import { runHandler } from "./run-handler.ts";
import { replayedResult } from "./stored-result.ts";

type Claimed = Extract<ClaimAnswer, { status: "claimed" }>;

/**
 * The path of one delivery through the engine: lock the slot, claim in the ledger, lock the row, run the handler and end the claim,
 * give the locks back.
 * Died in between: locks and lease run out, the next delivery resumes the row.
 * Throws what broke before the handler ran; the caller makes it an outcome.
 */
export async function deliverClaim<R extends object, T>(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const lockBy = parts.guard.isConfigured ? (request.lockBy ?? "claimant") : "none";
  const scope = request.scope ?? {};
  const locks: GuardLock[] = [];
  try {
    if (lockBy === "claimant" || lockBy === "both") {
      const slot = await parts.guard.tryLock(slotKey(pool.table, scope, request.claimant));
      if (slot.lock === null) return { status: "contended", retryAfterMs: slot.retryAfterMs };
      locks.push(slot.lock);
    }

    const { answer, sentAtMs } = await parts.batches.claim({
      pool,
      scope,
      rerun: request.onReplay === "rerun",
      request: {
        claimant: request.claimant,
        holder: parts.random.id(),
        messageId: request.messageId ?? null,
        pick: request.pick ?? null,
      },
    });
    if (answer.status !== "claimed") return refusedOutcome<T>(answer);
    if (parts.running.stopReason !== undefined) return await handBack(parts, answer, parts.running.stopReason);

    if (lockBy === "row" || lockBy === "both") {
      const row = await lockRow(parts, pool, answer);
      if (row.lock === null) return { status: "contended", retryAfterMs: row.retryAfterMs };
      locks.push(row.lock);
    }

    return await workUnderLease(parts, pool, request, handler, answer, sentAtMs, locks);
  } finally {
    await Promise.all(locks.map((lock) => parts.guard.release(lock.lease)));
  }
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
async function lockRow(parts: EngineParts, pool: PoolDefinition, answer: Claimed) {
  try {
    const row = await parts.guard.tryLock(rowKey(pool.table, answer.claim.resourceId));
    if (row.lock === null) await parts.batches.fail(answer.claim);
    return row;
  } catch (error) {
    await parts.batches.fail(answer.claim).catch((failure: unknown) => {
      parts.events.emit("background:failed", { what: "ending a lease whose row could not be locked", error: failure });
    });
    throw error;
  }
}

async function workUnderLease<R extends object, T>(
  parts: EngineParts,
  pool: PoolDefinition,
  request: PoolClaimRequest,
  handler: (claim: Claim<R>) => Promise<T>,
  answer: Claimed,
  sentAtMs: number,
  locks: readonly GuardLock[],
): Promise<Outcome<T>> {
  const { claim: ref } = answer;
  const about = { pool: pool.table, claimant: ref.claimant, token: ref.token };
  const lease = new Lease({
    clock: parts.clock,
    claim: ref,
    ttlMs: parts.ttlMs,
    sentAtMs,
    maxHoldMs: request.maxHoldMs,
    onLost: (reason) => parts.events.emit("claim:lost", { ...about, reason }),
  });
  for (const lock of locks) lease.guardedBy(lock.lease, lock.sentAtMs);
  const claim = new HeldClaim<R>(
    { claim: ref, row: answer.row as R, attempt: answer.attempt, resumed: answer.resumed },
    {
      lease,
      renewal: { stop: () => parts.keeper.drop(lease), resume: () => parts.keeper.keep(lease, parts.clock.now()) },
      transactions: parts.ledger,
      complete: (held, result) => parts.batches.complete({ claim: held, result }),
      release: (held) => parts.batches.release(pool, held),
    },
  );

  parts.keeper.keep(lease, sentAtMs);
  parts.running.add(lease);
  parts.events.emit("claim:acquired", { ...about, attempt: answer.attempt, resumed: answer.resumed });
  try {
    return await runHandler(parts, pool, request, handler, claim, lease);
  } finally {
    parts.running.remove(lease);
    parts.keeper.drop(lease);
  }
}
