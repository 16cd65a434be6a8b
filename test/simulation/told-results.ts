import type { HistoryEvent, Outcome, Started, Violation, Write } from "../checker/history.ts";

/**
 * I2, of what is answered: a replay is told what a completion of its claimant stored, whoever completes is told its own, and a handler
 * is given the row that is claimed for it.
 */
export function toldResults(history: readonly HistoryEvent[]): Violation[] {
  const found: Violation[] = [];
  const claimants = new Map<string, string>();
  /** Completions that may have been done, by their claimant. */
  const stored = new Map<string, readonly Write[]>();
  for (const event of history) {
    if (event.what === "started") {
      claimants.set(event.delivery, event.claimant);
      scanRow(event, found);
    } else if (event.what === "write") noteCompletion(event, claimants, stored);
    else if (event.what === "outcome") scanResult(event, stored, found);
  }
  return found;
}

function scanRow(event: Started, found: Violation[]): void {
  const { row, resource, claimant } = event;
  if (row === undefined || row === resource) return;
  found.push({ invariant: "I2", sentence: `${claimant} was served with ${row} in place of ${resource}`, events: [event] });
}

function noteCompletion(event: Write, claimants: ReadonlyMap<string, string>, stored: Map<string, readonly Write[]>): void {
  const claimant = claimants.get(event.delivery);
  if (!event.completes || event.phase !== "invoke" || claimant === undefined) return;
  // Also one that was refused: an earlier call of it, whose answer was lost, may have been done.
  stored.set(claimant, [...(stored.get(claimant) ?? []), event]);
}

function scanResult(event: Outcome, stored: ReadonlyMap<string, readonly Write[]>, found: Violation[]): void {
  const { result, claimant, status } = event;
  if (result === undefined) return;
  const completions = (stored.get(claimant) ?? []).filter(
    ({ delivery }) => status === "replayed" || delivery === event.delivery,
  );
  // A row that the handler gave back was not completed: what it returned is nobody's but the caller's.
  if (status === "completed" && completions.length === 0) return;
  if (completions.some((write) => write.result === result)) return;
  const sentence = `${claimant} was answered "${result}", which no completion of its own stored`;
  found.push({ invariant: "I2", sentence, events: [...completions, event] });
}
