import { ClaimLocks } from "./claim-locks.ts";
import type { Outcome, TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/** What of a dead transaction keeps a claim, and what of a dead holder or waiter keeps a lock, in times of `ttlMs`. */
const TRANSACTION_TTLS = 6;
const LOCK_TTLS = 3;

/**
 * I13, of single claims (L2), where every grant and renewal is seen: nobody is kept from a claim by a lease that is over. No delivery is
 * contended that came when the last of them had run out, nothing else held the claim, and nobody else used its locks.
 */
export function freedInTime(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const frame = index.frames.find(({ ttlMs }) => ttlMs !== undefined);
  if (frame?.ttlMs === undefined) return found;
  const { ttlMs, intervalMs = 0 } = frame;
  const locks = new ClaimLocks(index);
  for (const outcome of index.outcomes) {
    if (outcome.status !== "contended") continue;
    const log = index.deliveries.get(outcome.delivery);
    const delivered = log?.delivered[0];
    const last = lastChange(index, outcome);
    if (delivered === undefined || last?.status !== "held") continue;
    const restMs = log?.message?.sent[0]?.mode === "resource" ? intervalMs : 0;
    if (!(last.at + ttlMs + restMs < delivered.at)) continue;
    if (isSharedOrBusy(index, last, delivered.at, ttlMs)) continue;
    if (locks.mayKeep(outcome, last, delivered.at - LOCK_TTLS * ttlMs)) continue;
    const sentence = `${outcome.claimant} was kept waiting for ${last.resource}, whose lease had been over since ${last.at + ttlMs}`;
    found.push(violation("I13", sentence, last, delivered, outcome));
  }
  return found;
}

/** The last grant, renewal or end of what the claimant has, before it was told. */
function lastChange(index: HistoryIndex, { claimant, at }: Outcome): TokenChanged | undefined {
  return index.claimants.get(claimant)?.changes.findLast((change) => change.at <= at);
}

/** Of a shared key not every take is seen; a transaction holds the claim until it ends, and one whose end is not known for a while. */
function isSharedOrBusy(index: HistoryIndex, { resource, token }: TokenChanged, at: number, ttlMs: number): boolean {
  const grant = index.resources.get(resource)?.grants.get(token);
  if (grant === undefined) return false;
  if (grant.started.some(({ mode }) => mode === "shared")) return true;
  const sinceAt = at - TRANSACTION_TTLS * ttlMs;
  return grant.calls.some(({ first, answer }) => (answer ?? first).at >= (answer?.phase === "ok" ? at : sinceAt));
}
