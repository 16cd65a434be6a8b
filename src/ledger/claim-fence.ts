import type { Fence } from "./fence.ts";
import type { ClaimRef } from "./ledger.ts";

/** The fence of a claim: it is held under this very token. */
export function claimFence(schema: string, claim: ClaimRef): Fence {
  const { pool, scope, claimant } = claim;
  const key = [pool, scope, claimant, claim.token.toString(), claim.resourceId];
  return {
    noun: "claim",
    token: claim.token,
    hold: {
      text: `select pg_current_xact_id()::text as id from ${schema}.claims
       where pool = $1 and scope = $2 and claimant = $3 and token = $4 and resource_id = $5 and status = 'held' for key share`,
      values: key,
    },
    end: (result) => ({
      text: `update ${schema}.claims set status = 'completed', result = $6::json, leased_until = null, ended_at = clock_timestamp()
     where pool = $1 and scope = $2 and claimant = $3 and token = $4 and resource_id = $5 and status = 'held'`,
      values: [...key, result ?? null],
    }),
    publisher: { pool, scope, claimant },
    details: { claimant, pool },
  };
}
