import type { FinalClaim, Outcome, Sent, TokenChanged, Write } from "./history.ts";
import type { Call, DeliveryLog, HistoryIndex, MessageLog } from "./history-index.ts";

/** What shows that the work of a message is done. */
export type Completion = TokenChanged | FinalClaim | Write | Outcome;

/**
 * Of a row: that the ledger says so of the claimant, whichever delivery did it. Of a named resource, of which the ledger keeps no
 * result: that a delivery of this message completed, or may have: a process can die between the commit and its next line.
 */
export function completionOf(index: HistoryIndex, message: MessageLog, { mode, claimant }: Sent): Completion | undefined {
  if (mode === "resource") return completingWrite(message.deliveries);
  const log = index.claimants.get(claimant);
  return (
    log?.completions[0] ??
    log?.finalClaims.find(({ status }) => status === "completed") ??
    // Without a log of the ledger the dump shows the last state alone, and a completed claim can be released.
    (index.changeCount === 0 ? completingWrite(message.deliveries) : undefined)
  );
}

function completingWrite(deliveries: readonly DeliveryLog[]): Write | Outcome | undefined {
  for (const { writes, outcome } of deliveries) {
    const call = writes.find(isCompletion);
    if (call !== undefined) return call.first;
    if (outcome?.status === "completed" || outcome?.status === "replayed") return outcome;
  }
  return undefined;
}

/** A call whose end nobody was told may have committed. */
export function isCompletion({ first, answer }: Call<Write>): boolean {
  return first.completes && answer?.phase !== "fail";
}
