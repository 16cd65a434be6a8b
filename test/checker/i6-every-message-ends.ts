import { completionOf } from "./completion.ts";
import type { FinalMessage, Outcome, Sent, Violation } from "./history.ts";
import type { DeliveryLog, HistoryIndex, MessageLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I6, its end: every message that was sent ends once, and for a reason: its claimant's claim is completed, it was refused (empty,
 * taken), or it is a visible failure of one that may fail (`mayDie`). Nothing is left waiting.
 * Allowed: a message that was sent twice and refused once before a row became free; a failure although the claim is completed (the
 * broker counts deliveries that died with their process); a dead letter whose settlement nobody confirmed, delivered again.
 */
export function everyMessageEnds(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  if (!index.hasDump) return found;
  for (const log of index.messages.values()) {
    const sent = log.sent[0];
    if (sent === undefined) continue;
    const ends = distinctEnds(log);
    const waiting = ends.find(({ state }) => state === "waiting");
    if (waiting !== undefined) {
      found.push(violation("I6", `${log.message} still waits at the end`, sent, waiting));
      continue;
    }
    if (ends.length > 1 && !isSettlementOpen(log)) {
      found.push(violation("I6", `${log.message} ended in ${ends.length} ways`, sent, ...ends));
    }
    for (const end of ends.length === 0 ? [undefined] : ends) scanEnd(index, log, sent, end, found);
  }
  for (const outcome of index.outcomes) if (outcome.status === "empty") scanRefusal(index, outcome, found);
  return found;
}

function distinctEnds({ finals }: MessageLog): FinalMessage[] {
  if (finals.length < 2) return finals;
  return [...new Map(finals.map((event) => [event.state, event])).values()];
}

/** A message that the broker does not know any more was settled for good. */
function scanEnd(index: HistoryIndex, log: MessageLog, sent: Sent, end: FinalMessage | undefined, found: Violation[]): void {
  const state = end?.state ?? "gone";
  const completed = completionOf(index, log, sent);
  if (completed !== undefined) {
    if (isHopeless(index, sent)) {
      found.push(violation("I6", `${log.message} can never succeed, and was completed`, sent, completed, end));
    }
    return;
  }
  const isAcked = state === "completed" || (state === "gone" && isToldDone(log));
  if (isRefused(log) && (!isAcked || mayDropRefused(index))) return;
  const isVisible = state === "dead-letter" || state === "failed" || (state === "gone" && isFailed(log));
  if (isVisible && (sent.mayDie ?? sent.isPoison)) return;
  const sentence = `${log.message} is ${state}, and nothing was completed for ${sent.claimant}`;
  found.push(violation("I6", sentence, sent, lastDelivery(log)?.settles.at(-1)?.invoke, end));
}

/** Of a claimant with a message that can succeed nobody knows which one completed its claim. */
function isHopeless(index: HistoryIndex, { isPoison, mode, claimant }: Sent): boolean {
  if (!isPoison || mode === "resource") return isPoison;
  return index.claimants.get(claimant)?.sent.every((other) => other.isPoison) ?? true;
}

function isRefused({ deliveries }: MessageLog): boolean {
  return deliveries.some(({ outcome }) => outcome?.status === "empty" || outcome?.status === "taken");
}

function mayDropRefused({ frames }: HistoryIndex): boolean {
  return frames.some((frame) => frame.mayDropRefused === true);
}

/** The broker was told so, and did not say that it came too late. */
function isToldDone({ deliveries }: MessageLog): boolean {
  return deliveries.some(({ settles }) =>
    settles.some(({ first, answer }) => first.disposition === "complete" && answer?.phase !== "fail"),
  );
}

/** Told to the broker, so that it shows: as a dead letter, or as the failure of its last attempt. */
function isFailed(log: MessageLog): boolean {
  const isDead = log.deliveries.some(({ settles }) => settles.some(({ first }) => first.disposition === "dead-letter"));
  return isDead || lastDelivery(log)?.settles.at(-1)?.first.disposition === "fail";
}

function lastDelivery({ deliveries }: MessageLog): DeliveryLog | undefined {
  let last: DeliveryLog | undefined;
  for (const log of deliveries) {
    if (last === undefined || !((log.delivered[0]?.at ?? 0) < (last.delivered[0]?.at ?? 0))) last = log;
  }
  return last;
}

/** Of a call without an answer, or with none that says what happened, nobody knows whether the broker did as told. */
function isSettlementOpen({ deliveries }: MessageLog): boolean {
  return deliveries.some(({ settles }) => settles.some(({ answer }) => answer === undefined || answer.phase === "info"));
}

/** Who has completed is told the result, never that there is nothing left. */
function scanRefusal(index: HistoryIndex, outcome: Outcome, found: Violation[]): void {
  const delivered = index.deliveries.get(outcome.delivery)?.delivered[0];
  const log = index.claimants.get(outcome.claimant);
  if (delivered === undefined || log === undefined || log.hasReleased) return;
  const completed = log.completions.find(({ at }) => at < delivered.at);
  if (completed === undefined) return;
  found.push(
    violation("I6", `${outcome.claimant} was refused as empty after its claim was completed`, completed, delivered, outcome),
  );
}
