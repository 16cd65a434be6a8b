import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { accountRow } from "./account-row.ts";
import { checkRequest } from "./check-request.ts";
import type { Claim } from "./claim.ts";
import { claimWithWait } from "./claim-with-wait.ts";
import { deliverClaim } from "./deliver-claim.ts";
import { deliver, nameOf } from "./delivery.ts";
import type { EngineParts } from "./engine-parts.ts";
import { giveUpClaim } from "./give-up-claim.ts";
import { noteDeadLetter } from "./note-dead-letter.ts";
import type { Pool, PoolClaimRequest } from "./pool.ts";

/** A table's rows, claimed by this engine. */
export function poolOf<R extends object>(parts: EngineParts, definition: PoolDefinition): Pool<R> {
  return {
    name: definition.table,
    claim: <T>(request: PoolClaimRequest, handler: (claim: Claim<R>) => Promise<T>) =>
      deliver<T>(parts, {
        subject: { pool: definition.table, claimant: nameOf(request?.claimant) },
        handler,
        signal: request?.signal,
        async deliver() {
          checkRequest(request);
          return claimWithWait(parts, request, (waitMs) => deliverClaim(parts, definition, request, waitMs, handler));
        },
      }),
    giveUp: (request) => giveUpClaim(parts, definition, request),
    noteDeadLetter: (letter) => noteDeadLetter(parts, { pool: definition.table }, letter),
    accountRow: (note) => accountRow(parts, { pool: definition }, note),
    jitter: () => parts.random.fraction(),
  };
}
