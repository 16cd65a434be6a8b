import type { Fault, Outcome, Started, TokenChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import type { JudgeOptions } from "./judge-options.ts";
import { violation } from "./violation.ts";

/** What of a dead transaction keeps a claim, and what of a dead holder or waiter keeps a lock, in times of `ttlMs`. */
const TRANSACTION_TTLS = 6;
const LOCK_TTLS = 3;

/** What a queue may add to a redelivery, where others are served first. */
const SERVED_WITHIN_MS = 10_000;

interface Times {
  readonly ttlMs: number;
  readonly redeliveryMs: number | undefined;
  readonly intervalMs: number;
}

/**
 * I13, of single claims (L2): nobody is kept from a claim by a lease that is over.
 * Where every grant and renewal is seen, no delivery is contended that came when the last of them had run out, nothing else held the
 * claim, and no lock was in use. Elsewhere, a claimant whose process died is served again within the lease and the broker's time for a
 * redelivery, if no other fault was on until then.
 */
export function freedInTime(index: HistoryIndex, { seesRenewals = false }: JudgeOptions): Violation[] {
  const found: Violation[] = [];
  const frame = index.frames.find(({ ttlMs }) => ttlMs !== undefined);
  if (frame?.ttlMs === undefined) return found;
  const times = { ttlMs: frame.ttlMs, redeliveryMs: frame.redeliveryMs, intervalMs: frame.intervalMs ?? 0 };
  if (seesRenewals) scanContended(index, times, found);
  else if (times.redeliveryMs !== undefined) scanDeaths(index, times, found);
  return found;
}

function scanContended(index: HistoryIndex, times: Times, found: Violation[]): void {
  const lockedAt = index.locks.map(({ at }) => at);
  for (const outcome of index.outcomes) {
    if (outcome.status !== "contended") continue;
    const log = index.deliveries.get(outcome.delivery);
    const delivered = log?.delivered[0];
    const last = lastChange(index, outcome);
    if (delivered === undefined || last?.status !== "held") continue;
    const restMs = log?.message?.sent[0]?.mode === "resource" ? times.intervalMs : 0;
    if (!(last.at + times.ttlMs + restMs < delivered.at)) continue;
    if (isSharedOrBusy(index, last, delivered.at, times.ttlMs)) continue;
    const sinceAt = delivered.at - LOCK_TTLS * times.ttlMs;
    if (lockedAt.some((at) => at >= sinceAt && at <= outcome.at)) continue;
    const sentence = `${outcome.claimant} was kept waiting for ${last.resource}, whose lease had been over since ${last.at + times.ttlMs}`;
    found.push(violation("I13", sentence, last, delivered, outcome));
  }
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

function scanDeaths(index: HistoryIndex, times: Times, found: Violation[]): void {
  const deaths = deathsOf(index.faults);
  if (deaths.size === 0) return;
  const endedAt = index.frames.findLast(({ mark }) => mark === "ended")?.at ?? Number.NEGATIVE_INFINITY;
  for (const { claimant, started, completions } of index.claimants.values()) {
    for (const event of started) {
      const death = deaths.get(event.by);
      if (death === undefined || index.deliveries.get(event.delivery)?.outcome !== undefined) continue;
      const untilAt = death.at + times.ttlMs + (times.redeliveryMs ?? 0) + SERVED_WITHIN_MS;
      if (!(untilAt < endedAt) || isDisturbed(index.faults, death, untilAt)) continue;
      if (completions.some(({ at }) => !(at > untilAt)) || isServed(index, event, death.at, untilAt)) continue;
      const sentence = `${claimant} was not served again within ${untilAt - death.at} ms of the death of its process`;
      found.push(violation("I13", sentence, event, death));
    }
  }
}

/** Faults that ended the process they name: by its name nothing is logged after them. */
function deathsOf(faults: readonly Fault[]): Map<string, Fault> {
  const deaths = new Map<string, Fault>();
  for (const fault of faults) if (fault.phase === "hit" && /kill/i.test(fault.kind)) deaths.set(fault.target, fault);
  return deaths;
}

function isDisturbed(faults: readonly Fault[], death: Fault, untilAt: number): boolean {
  return faults.some(({ id, at }) => id !== death.id && at >= death.at - (untilAt - death.at) && at <= untilAt);
}

function isServed(index: HistoryIndex, { claimant, delivery }: Started, fromAt: number, untilAt: number): boolean {
  const isIts = (at: number) => at > fromAt && at <= untilAt;
  const started = index.claimants.get(claimant)?.started ?? [];
  if (started.some((event) => event.delivery !== delivery && isIts(event.at))) return true;
  return index.outcomes.some((outcome) => outcome.claimant === claimant && isIts(outcome.at));
}
