import type { HistoryEvent, Started } from "../checker/history.ts";

/** What a process had in hand when its log ended: handlers that were entered, and of whose deliveries it told no outcome. */
export function openWorks(events: readonly HistoryEvent[]): readonly Started[] {
  const over = new Set(events.flatMap((event) => (event.what === "outcome" ? event.delivery : [])));
  return events.filter((event) => event.what === "started").filter(({ delivery }) => !over.has(delivery));
}

/** Whether the claimant of a work was served again after that moment, by whomever. */
export function isServedAgain({ claimant, delivery }: Started, events: readonly HistoryEvent[], afterMs: number): boolean {
  return events.some((event) => {
    if (event.at <= afterMs || (event.what !== "started" && event.what !== "outcome")) return false;
    const isKept = event.what === "outcome" && (event.status === "contended" || event.status === "lost");
    return event.claimant === claimant && event.delivery !== delivery && !isKept;
  });
}
