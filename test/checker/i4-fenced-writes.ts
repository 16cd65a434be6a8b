import type { TokenChanged, Violation, Wrote } from "./history.ts";
import type { Grant, HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I4: no fenced write commits under a token below one that was granted, or written under, before it; and what was answered `ok` is
 * there. A fence keeps the claim's record locked until it commits, so that both witnesses number what they see in commit order.
 */
export function fencedWrites(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    if (log.wrote.length > 0) {
      scanAgainstWrites(log, found);
      scanAgainstGrants(log, found);
    }
    if (index.hasDump) for (const grant of log.grants.values()) scanAnswers(log, grant, found);
  }
  return found;
}

function scanAgainstWrites({ resource, wrote }: ResourceLog, found: Violation[]): void {
  let newest: Wrote | undefined;
  for (const event of wrote) {
    if (newest !== undefined && event.token < newest.token) {
      found.push(violation("I4", `${resource} was written under token ${event.token} after ${newest.token}`, newest, event));
    } else newest = event;
  }
}

function scanAgainstGrants({ resource, changes, wrote }: ResourceLog, found: Violation[]): void {
  const hasOneCounter = isOneCounter(changes, wrote);
  let newest: TokenChanged | undefined;
  let next = 0;
  for (const event of wrote) {
    for (let change = changes[next]; change !== undefined && isAfter(event, change, hasOneCounter); change = changes[++next]) {
      if (newest === undefined || change.token > newest.token) newest = change;
    }
    if (newest !== undefined && event.token < newest.token) {
      const sentence = `${resource} was written under token ${event.token} when ${newest.token} had been granted`;
      found.push(violation("I4", sentence, newest, event));
    }
  }
}

/** A number that both witnesses gave shows that each counts for itself. */
function isOneCounter(changes: readonly TokenChanged[], wrote: readonly Wrote[]): boolean {
  let next = 0;
  for (const { n } of wrote) {
    while (next < changes.length && (changes[next]?.n ?? n) < n) next += 1;
    if (changes[next]?.n === n) return false;
  }
  return true;
}

/** Both fire under one lock, so that their times are in commit order; where these say nothing, a counter of both does. */
function isAfter(write: Wrote, change: TokenChanged, hasOneCounter: boolean): boolean {
  if (change.at < write.at) return true;
  return hasOneCounter && change.n < write.n && !(write.at < change.at);
}

function scanAnswers({ resource, isPool }: ResourceLog, { token, calls, wrote, changes }: Grant, found: Violation[]): void {
  if (calls.length === 0) return;
  let plainLeft = 0;
  let isCompleted = changes.some(
    ({ status }) => status === "completed" || (!isPool && status !== "held" && status !== "failed"),
  );
  for (const { completes } of wrote) {
    if (completes) isCompleted = true;
    else plainLeft += 1;
  }
  for (const { invoke, answer } of calls) {
    if (answer?.phase !== "ok") continue;
    if (answer.completes) {
      if (!isCompleted)
        found.push(violation("I4", `${resource} was completed under token ${token}, and is not`, invoke, answer));
    } else if (plainLeft === 0) {
      found.push(
        violation("I4", `a write of ${resource} under token ${token} was confirmed, and is not there`, invoke, answer),
      );
    } else plainLeft -= 1;
  }
}
