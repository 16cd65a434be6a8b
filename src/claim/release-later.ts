import { isExclaimError } from "../errors.ts";
import type { ClaimRef } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import type { EngineParts } from "./engine-parts.ts";

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/**
 * Gives a row back once the database can be reached again, in the background, until it is done or the engine closes. Safe however
 * late: the release is fenced by the claim's token.
 * Died in between: the row stays with its claimant.
 */
export async function releaseLater(parts: EngineParts, pool: PoolDefinition, claim: ClaimRef): Promise<void> {
  for (
    let pauseMs = FIRST_PAUSE_MS;
    parts.holding.running.stopReason === undefined;
    pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)
  ) {
    await new Promise<void>((resolve) => void parts.clock.after(pauseMs, resolve));
    try {
      await parts.ledger.release(pool, [claim]);
      return;
    } catch (error) {
      parts.events.emit("background:failed", { what: `giving back the row of ${claim.claimant}`, error });
      if (!isExclaimError(error, "DATABASE_UNREACHABLE")) return;
    }
  }
}
