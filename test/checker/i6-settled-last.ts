import { completionOf, isCompletion } from "./completion.ts";
import type { Settle, TokenChanged, Violation } from "./history.ts";
import type { DeliveryLog, HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I6, its order: the broker is told `complete` only after the completion was committed, or a completed claim was read.
 * A trigger fires before its transaction commits, and settlement begins after the commit was answered, so the trigger's time is the
 * earlier one whenever the order was kept; `clockErrorMs` is for times that were converted from another clock.
 */
export function settledLast(index: HistoryIndex, clockErrorMs: number): Violation[] {
  const found: Violation[] = [];
  const mayDropRefused = index.frames.some((frame) => frame.mayDropRefused === true);
  for (const log of index.deliveries.values()) {
    scanTwice(log, found);
    if (mayDropRefused && (log.outcome?.status === "empty" || log.outcome?.status === "taken")) continue;
    for (const { invoke } of log.settles) {
      if (invoke?.disposition !== "complete") continue;
      scanOwnWrite(log, invoke, found);
      scanCompletion(index, log, invoke, clockErrorMs, found);
    }
  }
  return found;
}

/** A call that failed, or whose answer was lost, may be made again. */
function scanTwice({ delivery, settles }: DeliveryLog, found: Violation[]): void {
  if (settles.length < 2) return;
  const confirmed = settles.findIndex(({ answer }) => answer?.phase === "ok");
  const again = confirmed < 0 ? undefined : settles[confirmed + 1];
  if (again === undefined) return;
  found.push(violation("I6", `${delivery} was settled twice`, settles[confirmed]?.answer, again.first));
}

/** Both times are of the process itself. */
function scanOwnWrite({ delivery, writes, outcome }: DeliveryLog, settled: Settle, found: Violation[]): void {
  if (outcome?.status === "replayed") return;
  const completing = writes.findLast(isCompletion);
  const done = completing?.answer ?? completing?.invoke;
  if (done !== undefined && settled.at < done.at) {
    found.push(violation("I6", `${delivery} was settled before the answer to its completion`, settled, done));
  }
}

function scanCompletion(
  index: HistoryIndex,
  log: DeliveryLog,
  settled: Settle,
  clockErrorMs: number,
  found: Violation[],
): void {
  const { message, outcome } = log;
  const sent = message?.sent[0];
  if (message === undefined || sent === undefined) return;
  if (sent.mode === "resource") {
    if (log.writes.some(isCompletion) || outcome?.status === "completed" || outcome?.status === "replayed") return;
    found.push(violation("I6", `${log.delivery} was settled as complete, and completed nothing`, outcome, settled));
    return;
  }
  const completed = completionOf(index, message, sent);
  if (completed === undefined) {
    found.push(
      violation("I6", `${log.delivery} was settled, and no claim of ${sent.claimant} was ever completed`, outcome, settled),
    );
    return;
  }
  const first = firstCompleted(index, sent.claimant);
  if (first === undefined || !(first.at > settled.at + clockErrorMs)) return;
  found.push(violation("I6", `${log.delivery} was settled before the claim of ${sent.claimant} was completed`, settled, first));
}

/** None when the time of any is not known. */
function firstCompleted(index: HistoryIndex, claimant: string): TokenChanged | undefined {
  let first: TokenChanged | undefined;
  for (const change of index.claimants.get(claimant)?.completions ?? []) {
    if (!Number.isFinite(change.at)) return undefined;
    if (first === undefined || change.at < first.at) first = change;
  }
  return first;
}
