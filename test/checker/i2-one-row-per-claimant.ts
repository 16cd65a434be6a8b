import type { FinalClaim, Started, TokenChanged, Violation } from "./history.ts";
import type { ClaimantLog, HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I2: a claimant has at most one row. A claimant is unique over pools and scopes as the history names it.
 * Handlers log when they start, and a process may be stopped before it does: hence starts are compared with releases by token, not
 * by time. The ledger's triggers fire under the lock of the claimant's own record, so that their times are in commit order, if they
 * are known; where they are not, only what is live at the end of the log is looked at.
 */
export function oneRowPerClaimant(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.claimants.values()) {
    scanStarts(index, log, found);
    scanChanges(index, log, found);
    scanDump(index, log, found);
  }
  return found;
}

function scanStarts(index: HistoryIndex, log: ClaimantLog, found: Violation[]): void {
  if (isOneResource(log.started)) return;
  const releases = lastReleases(index, log);
  const isKept = ({ resource, token }: Started) => isPool(index, resource) && !((releases.get(resource) ?? 0) >= token);
  let kept: Started | undefined;
  for (const event of log.started) {
    if (!isKept(event)) continue;
    if (kept !== undefined && kept.resource !== event.resource) {
      const sentence = `${log.claimant} was given ${kept.resource} and ${event.resource}, and released neither`;
      found.push(violation("I2", sentence, kept, event));
    }
    kept = event;
  }
}

/** The token under which each row was released last. Without a log of the ledger a row that was free again is taken for released. */
function lastReleases(index: HistoryIndex, { changes, started }: ClaimantLog): Map<string, number> {
  const releases = new Map<string, number>();
  for (const { resource, status, token } of changes) {
    if (status === "released" && token > (releases.get(resource) ?? 0)) releases.set(resource, token);
  }
  if (index.changeCount > 0) return releases;
  for (const resource of new Set(started.map((event) => event.resource))) {
    const wasFreed = index.resources.get(resource)?.owners.some(({ became }) => became === null) ?? false;
    if (wasFreed) releases.set(resource, Number.POSITIVE_INFINITY);
  }
  return releases;
}

function scanChanges(index: HistoryIndex, { claimant, changes }: ClaimantLog, found: Violation[]): void {
  if (isOneResource(changes)) return;
  const ofPool = changes.filter(({ resource }) => isPool(index, resource));
  const live = new Map<string, TokenChanged>();
  const hasTimes = ofPool.every(({ at }) => Number.isFinite(at));
  if (hasTimes) sortByTime(ofPool);
  for (const event of ofPool) {
    if (event.status === "released") live.delete(event.resource);
    else live.set(event.resource, event);
    if (live.size < 2 || !hasTimes) continue;
    const [other] = live.values();
    found.push(violation("I2", `${claimant} has ${live.size} rows at once`, other, event));
    return;
  }
  const left = endOfEach(ofPool);
  if (left.length > 1)
    found.push(violation("I2", `${claimant} has ${left.length} rows that were never released`, left[0], left[1]));
}

function isOneResource(events: readonly (Started | TokenChanged)[]): boolean {
  const first = events[0];
  for (const { resource } of events) if (resource !== first?.resource) return false;
  return true;
}

/** A release and the claim after it may have the same time: then the release came first, or the claim would have been refused. */
function sortByTime(changes: TokenChanged[]): void {
  const rank = ({ status }: TokenChanged) => (status === "released" ? 0 : 1);
  changes.sort(
    (one, other) => one.at - other.at || (one.resource === other.resource ? one.n - other.n : rank(one) - rank(other)),
  );
}

/** The last change of each resource, if it leaves it claimed. */
function endOfEach(changes: readonly TokenChanged[]): TokenChanged[] {
  const last = new Map<string, TokenChanged>();
  for (const event of changes) {
    const known = last.get(event.resource);
    if (known === undefined || known.n < event.n) last.set(event.resource, event);
  }
  return [...last.values()].filter(({ status }) => status !== "released");
}

function scanDump(index: HistoryIndex, { claimant, finalClaims }: ClaimantLog, found: Violation[]): void {
  let known: FinalClaim | undefined;
  for (const claim of finalClaims) {
    if (claim.resource === null || claim.status === "released" || !isPool(index, claim.resource)) continue;
    if (known !== undefined) found.push(violation("I2", `${claimant} has two rows at the end`, known, claim));
    known = claim;
  }
}

function isPool(index: HistoryIndex, resource: string): boolean {
  return index.resources.get(resource)?.isPool === true;
}
