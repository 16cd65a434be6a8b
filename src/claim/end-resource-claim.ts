import { isExclaimError } from "../errors.ts";
import type { ResourceRef } from "../ledger/resource-ledger.ts";
import type { EngineParts } from "./engine-parts.ts";

/** How a resource's lease that was not completed ends: at once, so that the next delivery need not wait for it to run out. */
export function resourceEndings(parts: EngineParts, lease: ResourceRef) {
  return { failed: end, lost: end };

  async function end(): Promise<void> {
    try {
      await parts.resources.end({ lease, how: "failed" });
    } catch (error) {
      // Somebody has taken the key meanwhile: the token keeps this from touching their lease.
      if (isExclaimError(error, "FENCED")) return;
      parts.events.emit("background:failed", { what: `ending the lease of ${lease.resource} "${lease.key}"`, error });
    }
  }
}
