import type { FinalClaim, Violation, Wrote } from "./history.ts";
import type { Grant, HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I7: a write whose answer was lost is committed, once and as a whole, or absent; a write that failed is absent; and at the end no
 * row has an owner without a claim, and no claim is without its row.
 */
export function resolvedWrites(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const log of index.resources.values()) {
    for (const grant of log.grants.values()) {
      if (grant.wrote.length === 0) continue;
      if (index.writes.size > 0) scanCalls(log, grant, found);
      if (log.isPool && index.changeCount > 0) scanWhole(log, grant, found);
    }
    if (log.isPool && index.hasDump) scanDump(index, log, found);
  }
  return found;
}

/** A process logs a call before it makes it, so that no write is without one. */
function scanCalls({ resource }: ResourceLog, { token, calls, wrote }: Grant, found: Violation[]): void {
  let completing = 0;
  let plain = 0;
  for (const { first, answer } of calls) {
    if (answer?.phase === "fail") continue;
    if (first.completes) completing += 1;
    else plain += 1;
  }
  for (const event of wrote) {
    const isLeft = event.completes ? completing-- > 0 : plain-- > 0;
    if (isLeft) continue;
    const { invoke, answer } = calls.findLast(({ first }) => first.completes === event.completes) ?? {};
    const sentence =
      answer?.phase === "fail"
        ? `a write of ${resource} under token ${token} is there, and its caller was told that it failed`
        : `${resource} has more writes under token ${token} than were made`;
    found.push(violation("I7", sentence, invoke, answer, event));
  }
}

function scanWhole({ resource }: ResourceLog, { token, changes, wrote }: Grant, found: Violation[]): void {
  const torn: Wrote | undefined = wrote.find(({ completes }) => completes);
  if (torn === undefined || changes.some(({ status }) => status === "completed")) return;
  found.push(
    violation("I7", `the writes that complete ${resource} under token ${token} are there without the completion`, torn),
  );
}

function scanDump(index: HistoryIndex, { resource, finalRows, finalClaims }: ResourceLog, found: Violation[]): void {
  const row = finalRows[0];
  const claim = finalClaims.find(({ status }) => status !== "released");
  if (row === undefined) {
    if (claim !== undefined)
      found.push(violation("I7", `${claim.claimant} has a claim of ${resource}, which is no row`, claim));
  } else if (row.owner === null) {
    if (claim !== undefined)
      found.push(violation("I7", `${claim.claimant} has a claim of ${resource}, which is free`, row, claim));
  } else if (claim === undefined) {
    found.push(violation("I7", `${resource} is owned by ${row.owner} without a claim`, row));
  } else if (!isOwner(index, row.owner, claim)) {
    found.push(violation("I7", `${resource} is owned by ${row.owner} and claimed by ${claim.claimant}`, row, claim));
  }
}

/** A claimant's name may say its scope, its owner column does not: then they differ, and the owner is no claimant's name. */
function isOwner(index: HistoryIndex, owner: string, claim: FinalClaim): boolean {
  if (claim.owner !== undefined) return claim.owner === owner;
  return claim.claimant === owner || !index.claimants.has(owner);
}
