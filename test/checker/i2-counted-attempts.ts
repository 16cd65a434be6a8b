import type { Started, TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I2, its count: from one release of a row to the next, each new token is one attempt more, from 1 on; and a handler is told that it
 * resumes exactly when its attempt is not the first.
 * The ledger's log counts; what it says of attempts itself, and what handlers were told, must be the same.
 */
export function countedAttempts(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    for (const event of log.started) if (event.resumed !== event.attempt > 1) found.push(misled(event));
    if (log.isPool && log.changes.length > 0) scanGrants(log, found);
  }
  return found;
}

function misled(event: Started): Violation {
  const { resource, attempt, resumed, claimant } = event;
  const told = resumed ? "resumes" : "does not resume";
  return violation("I2", `${claimant} was told that it ${told} ${resource}, at attempt ${attempt}`, event);
}

function scanGrants({ resource, changes, grants }: ResourceLog, found: Violation[]): void {
  let last: TokenChanged | undefined;
  let attempt = 0;
  for (const event of changes) {
    const { token, claimant, status } = event;
    const isNew = status === "held" && token !== last?.token;
    if (last === undefined || last.status === "released" || last.claimant !== claimant) attempt = 0;
    last = event;
    if (!isNew) continue;
    attempt += 1;
    if (event.attempt !== undefined && event.attempt !== attempt) {
      found.push(violation("I2", `the ledger calls attempt ${attempt} of ${resource} its attempt ${event.attempt}`, event));
    }
    const told = grants.get(token)?.started.find((start) => start.claimant === claimant && start.attempt !== attempt);
    if (told === undefined) continue;
    found.push(violation("I2", `${claimant} was told that attempt ${attempt} of ${resource} is ${told.attempt}`, event, told));
  }
}
