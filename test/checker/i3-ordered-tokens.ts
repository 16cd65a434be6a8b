import type { TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I3: in commit order the tokens of a resource grow with each grant and never fall; and no two deliveries work under one token, unless
 * the resource is shared.
 * A grant is an arrow that ends in `held`. Another state under the same token is none; nor is `held` twice in a row by the same
 * claimant, as a trigger logs that fires at each renewal, unless it shows that another acquisition has it now.
 */
export function orderedTokens(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    scanChanges(log, found);
    scanStarts(log, found);
  }
  return found;
}

function scanChanges({ resource, changes }: ResourceLog, found: Violation[]): void {
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

function isGrant(last: TokenChanged | undefined, event: TokenChanged): boolean {
  if (event.status !== "held") return false;
  if (last?.status !== "held" || last.claimant !== event.claimant) return true;
  return last.holder !== undefined && event.holder !== undefined && last.holder !== event.holder;
}

function scanStarts({ resource, grants }: ResourceLog, found: Violation[]): void {
  for (const { token, started } of grants.values()) {
    const first = started[0];
    if (first === undefined || started.length < 2) continue;
    const other = started.find(
      ({ delivery, mode }) => delivery !== first.delivery && !(mode === "shared" && first.mode === mode),
    );
    if (other === undefined) continue;
    found.push(violation("I3", `two deliveries work on ${resource} under token ${token}`, first, other));
  }
}
