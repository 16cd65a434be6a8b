import type { Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/** I13: once the last fault is healed, everything is done within the time that the run was given for it, and nothing waits. */
export function doneInTime(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const calm = index.frames.findLast(({ mark }) => mark === "calm");
  const ended = index.frames.findLast(({ mark }) => mark === "ended");
  const withinMs = index.frames.find((frame) => frame.withinMs !== undefined)?.withinMs;
  if (calm === undefined || ended === undefined || withinMs === undefined) return found;
  if (ended.at - calm.at > withinMs) {
    found.push(violation("I13", `it took ${ended.at - calm.at} ms after the last fault, not ${withinMs}`, calm, ended));
  }
  for (const { message, finals } of index.messages.values()) {
    const waiting = finals.find(({ state }) => state === "waiting");
    if (waiting !== undefined) found.push(violation("I13", `${message} still waits at the end`, calm, waiting, ended));
  }
  return found;
}
