import type { Started, Violation } from "./history.ts";
import type { HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I5: a claim that a handler was told of is in the ledger's log, and at the end in the ledger, unless its release is.
 * A release is found by claimant and token, not by time. A resource whose changes nobody watched is not judged by the log.
 */
export function noClaimLost(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    if (index.changeCount > 0) scanGrants(log, found);
    if (log.isPool && index.hasDump && log.started.length > 0) scanDump(index, log, found);
  }
  return found;
}

function scanGrants({ resource, grants }: ResourceLog, found: Violation[]): void {
  for (const { token, started, changes } of grants.values()) {
    const lost = started.find(({ claimant }) => !changes.some((change) => change.claimant === claimant));
    if (lost === undefined) continue;
    const sentence = `${resource} was worked on by ${lost.claimant} under token ${token}, which was never committed for it`;
    found.push(violation("I5", sentence, lost, changes[0]));
  }
}

function scanDump(index: HistoryIndex, log: ResourceLog, found: Violation[]): void {
  let releases: Map<string, number> | undefined;
  for (const [claimant, event] of newestStarts(log)) {
    const claims = index.claimants.get(claimant)?.finalClaims ?? [];
    const claim = claims.find((one) => one.resource === log.resource) ?? claims[0];
    const isSame = claim?.resource === log.resource;
    if (isSame && claim.token >= event.token) continue;
    releases ??= lastReleases(index, log);
    if ((releases.get(claimant) ?? 0) >= event.token) continue;
    const lost = isSame ? "the ledger knows an older token" : "neither the claim nor its release is in the ledger";
    found.push(
      violation("I5", `${claimant} held ${log.resource} under token ${event.token}; at the end ${lost}`, event, claim),
    );
  }
}

function newestStarts({ started }: ResourceLog): Map<string, Started> {
  const newest = new Map<string, Started>();
  for (const event of started) {
    const known = newest.get(event.claimant);
    if (known === undefined || known.token < event.token) newest.set(event.claimant, event);
  }
  return newest;
}

/** The token of each claimant's last release of the resource. Without a log of the ledger, what the dump says of it must do. */
function lastReleases(index: HistoryIndex, { changes, started }: ResourceLog): Map<string, number> {
  const releases = new Map<string, number>();
  for (const { claimant, status, token } of changes) {
    if (status === "released" && token > (releases.get(claimant) ?? 0)) releases.set(claimant, token);
  }
  if (index.changeCount > 0) return releases;
  for (const { claimant } of started) {
    const isReleased = index.claimants.get(claimant)?.finalClaims.some(({ resource }) => resource === null) ?? false;
    if (isReleased) releases.set(claimant, Number.POSITIVE_INFINITY);
  }
  return releases;
}
