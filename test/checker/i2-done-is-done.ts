import type { TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I2: a claimant whose claim of a row is completed is answered with what was stored, and not served again, unless the run allows it
 * (`mayRerun`). A key of a named resource is claimed again as often as one likes.
 */
export function doneIsDone(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  if (index.frames.some(({ mayRerun }) => mayRerun === true)) return found;
  for (const { isPool, changes } of index.resources.values()) {
    if (!isPool) continue;
    let done: TokenChanged | undefined;
    for (const event of changes) {
      if (event.status === "completed") done = event;
      else if (event.status !== "held" || event.claimant !== done?.claimant) done = undefined;
      else
        found.push(violation("I2", `${event.claimant} was served again after it was done with ${event.resource}`, done, event));
    }
  }
  return found;
}
