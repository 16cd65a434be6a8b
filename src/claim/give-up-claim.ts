import { pause } from "../clock.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { askAgain } from "./ask-again.ts";
import { checkClaimant, checkScope } from "./check-request.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { GiveUpRequest } from "./pool.ts";
import { storableId } from "./storable-id.ts";

/** Beyond the holder's lease: its server and ours may count a little differently. */
const LEASE_MARGIN_MS = 100;

/**
 * Ends the claim of a message that will not be delivered again. A holder that still lives keeps it until its lease is over; one
 * that renews for ever is at work, and its message's fate is then its own.
 * Throws CLAIMANT_MISSING, CLAIMANT_INVALID, SCOPE_INVALID, DATABASE_UNREACHABLE.
 */
export async function giveUpClaim(parts: EngineParts, pool: PoolDefinition, request: GiveUpRequest): Promise<void> {
  checkClaimant(request.claimant);
  checkScope(request.scope ?? {});
  const messageId = storableId(request.messageId);
  // A claim that was made without a message is nobody's to give up.
  if (request.onGiveUp === "keep" || messageId === null) return;
  const found = await find();
  if (found?.status === "held" && found.leaseMs > 0) {
    await pause(parts.clock, found.leaseMs + LEASE_MARGIN_MS);
  }
  const claim = await find();
  if (claim === null || claim.leaseMs > 0) return;
  if (claim.status === "failed" || claim.status === "held") await parts.batches.release(pool, claim.claim);

  async function find() {
    const claim = await askAgain(parts.clock, () => parts.ledger.find(pool, request.scope ?? {}, request.claimant));
    return claim?.messageId === messageId ? claim : null;
  }
}
