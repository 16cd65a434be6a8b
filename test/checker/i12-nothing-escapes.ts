import type { Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/** I12: no rejection or exception goes unhandled, and nothing is left behind by a process that ended in order. */
export function nothingEscapes(index: HistoryIndex): Violation[] {
  return index.escaped.map((event) => violation("I12", `${event.by}: ${event.kind}: ${event.detail}`, event));
}
