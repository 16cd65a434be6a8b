import type { Transaction } from "../ledger/ledger.ts";
import type { ResourceRef, Spacing } from "../ledger/resource-ledger.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import { resourceEndings } from "./end-resource-claim.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { ClaimRecord } from "./held-claim.ts";
import { resourceKey } from "./lock-key.ts";
import { OuterLocks } from "./outer-locks.ts";
import type { ResourceClaimRequest } from "./resource.ts";
import { storableId } from "./storable-id.ts";
import { workUnderLease } from "./work-under-lease.ts";

/**
 * The path of one delivery that wants a key of a named resource: lock the key, take its lease in the ledger, run the handler, end the
 * lease, give the lock back. `waitMs` is how long other holders of the lock are waited for.
 * Died in between: lock and lease run out, and the next delivery takes the key.
 * Throws what broke before the handler ran; the caller makes it an outcome.
 */
export async function deliverResource<T>(
  parts: EngineParts,
  resource: string,
  request: ResourceClaimRequest,
  spacing: Spacing,
  waitMs: number,
  handler: (claim: Claim<undefined>) => Promise<T>,
): Promise<Outcome<T>> {
  const { key, mode = "exclusive" } = request;
  const messageId = storableId(request.messageId);
  await using locks = new OuterLocks(parts, { waitMs, signal: request.signal, mode });
  const lock = await locks.take(resourceKey(resource, key));
  if (lock !== "held") return { status: "contended", retryAfterMs: lock.retryAfterMs };

  const wish = { key, holder: parts.random.id(), mode, spacing, messageId };
  const { answer, sentAtMs } = await parts.resources.take(resource, wish);
  if (answer.status === "refused") return { status: "failed", error: answer.error };
  if (answer.status === "contended") {
    const { retryAfterMs, tooEarly } = answer;
    return { status: "contended", retryAfterMs, ...(tooEarly ? { tooEarly } : {}) };
  }
  const endings = resourceEndings(parts, answer.lease);
  const { stopReason } = parts.holding.running;
  if (stopReason !== undefined) {
    await endings.failed();
    return { status: "failed", error: stopReason };
  }
  return await workUnderLease(
    parts,
    {
      subject: { resource, key },
      facts: {
        row: undefined,
        key,
        claimant: key,
        token: answer.lease.token,
        attempt: answer.attempt,
        resumed: answer.resumed,
      },
      record: recordOf(parts, answer.lease),
      endings,
      guards: [{ guard: parts.resources.guard(answer.lease), sentAtMs }, ...locks.guards()],
      abandon: () => Promise.all([parts.resources.abandon(answer.lease), locks.release()]),
    },
    request,
    handler,
  );
}

/** A resource keeps no result, since there is no replay; and to give a key back is to end its lease. */
function recordOf(parts: EngineParts, lease: ResourceRef): ClaimRecord {
  const end = () => parts.resources.end({ lease, how: "completed" });
  return {
    transact: (work, completion) =>
      parts.resourceLedger.transact(lease, ending(work, completion), { ends: completion !== undefined }),
    stored: () => undefined,
    complete: end,
    release: end,
  };
}

/** What a completion does besides storing, such as to end the renewals, is due once the work is done. */
function ending<T>(work: (tx: Transaction) => Promise<T>, completion?: (value: T) => unknown) {
  return async (tx: Transaction): Promise<T> => {
    const value = await work(tx);
    completion?.(value);
    return value;
  };
}
