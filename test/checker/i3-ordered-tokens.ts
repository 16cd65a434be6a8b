import type { TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I3: in commit order the tokens of a resource grow with each grant and never fall.
 * A grant is an arrow that ends in `held`. Another state under the same token is none; nor is `held` twice in a row by the same
 * claimant, as a trigger logs that fires at each renewal.
 */
export function orderedTokens(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const { resource, changes } of index.resources.values()) {
    let newest: TokenChanged | undefined;
    let last: TokenChanged | undefined;
    for (const event of changes) {
      if (newest !== undefined && event.token < newest.token) {
        found.push(violation("I3", `${resource} went back from token ${newest.token} to ${event.token}`, newest, event));
      } else if (newest !== undefined && event.token === newest.token && isGrant(last, event)) {
        found.push(violation("I3", `${resource} was granted twice with token ${event.token}`, newest, event));
      }
      if (newest === undefined || event.token > newest.token) newest = event;
      last = event;
    }
  }
  return found;
}

function isGrant(last: TokenChanged | undefined, event: TokenChanged): boolean {
  return event.status === "held" && (last?.status !== "held" || last.claimant !== event.claimant);
}
