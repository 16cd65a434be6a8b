import type { OwnerChanged, TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I1: at every commit point a row has at most one owner, and at most one live claim.
 * Commit order alone is looked at, never the time: a trigger fires before its transaction commits.
 * Named resources are left out: who lapsed still believes to hold one.
 */
export function oneOwner(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    if (!log.isPool) continue;
    scanOwners(log, found);
    scanClaims(log, found);
    scanDump(log, found);
  }
  return found;
}

function scanOwners({ resource, owners }: ResourceLog, found: Violation[]): void {
  let last: OwnerChanged | undefined;
  for (const event of owners) {
    const { was, became } = event;
    if (became !== null && was !== null && was !== became) {
      const before = last?.became === was ? last : undefined;
      found.push(violation("I1", `${resource} went from ${was} to ${became} without being free between`, before, event));
    } else if (became !== null && last !== undefined && last.became !== null && last.became !== became) {
      found.push(violation("I1", `${resource} was given to ${became} while ${last.became} owned it`, last, event));
    }
    last = event;
  }
}

function scanClaims({ resource, changes }: ResourceLog, found: Violation[]): void {
  let live: TokenChanged | undefined;
  for (const event of changes) {
    if (event.status === "released" || event.status === "free") {
      if (live?.claimant === event.claimant) live = undefined;
    } else {
      if (live !== undefined && live.claimant !== event.claimant) {
        const sentence = `${resource} is ${event.status} by ${event.claimant} while the claim of ${live.claimant} is live`;
        found.push(violation("I1", sentence, live, event));
      }
      live = event;
    }
  }
}

function scanDump({ resource, finalClaims }: ResourceLog, found: Violation[]): void {
  const live = finalClaims.filter(({ status }) => status !== "released");
  const [first, second] = live;
  if (first !== undefined && second !== undefined) {
    found.push(violation("I1", `${resource} is in ${live.length} live claims at the end`, first, second));
  }
}
