import type { HistoryEvent, InvariantName, Violation } from "./history.ts";

/** The events are given in the order in which they show it; what is missing of them is left out. */
export function violation(
  invariant: InvariantName,
  sentence: string,
  ...events: readonly (HistoryEvent | undefined)[]
): Violation {
  return { invariant, sentence, events: events.filter((event) => event !== undefined) };
}
