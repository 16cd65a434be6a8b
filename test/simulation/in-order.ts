import type { HistoryEvent } from "../checker/history.ts";
import type { Note } from "./chronicle.ts";

/** A line of a story. `atMs` is undefined where it is only known what it came after. */
export interface StoryLine {
  readonly atMs: number | undefined;
  readonly event: HistoryEvent | Note;
}

/**
 * Puts what happened, given in the order in which the simulation ran it, in the order of time.
 * A process that stalls goes through the time of its loop at once: its own clock is ahead of all others, and what it does then comes
 * before what others do earlier. Nobody hears of that before its time, so that a cause still comes before its effect. Where a process
 * went ahead, a line says that it stalls.
 */
export function inOrder(story: readonly (HistoryEvent | Note)[]): readonly StoryLine[] {
  const nextMs = earliestAfter(story);
  const lines: (StoryLine & { readonly keyMs: number })[] = [];
  const lastMs = new Map<string, number>();
  const stalledUntilMs = new Map<string, number>();
  let worldMs = 0;
  story.forEach((event, index) => {
    const { by } = event;
    const atMs = Math.max(event.at, lastMs.get(by) ?? 0);
    const soonestMs = nextMs[index] ?? atMs;
    if (atMs > soonestMs && stalledUntilMs.get(by) !== atMs) {
      const stall = { at: atMs, by, text: `stalls until ${atMs.toFixed(1)} ms, and takes nothing before` };
      lines.push({ keyMs: worldMs, atMs: undefined, event: stall });
      stalledUntilMs.set(by, atMs);
    }
    lines.push({ keyMs: atMs, atMs, event });
    lastMs.set(by, atMs);
    worldMs = Math.max(worldMs, Math.min(atMs, soonestMs));
  });
  return lines.sort((one, other) => one.keyMs - other.keyMs).map(({ atMs, event }) => ({ atMs, event }));
}

/** For each event, the earliest time of those that were told after it. */
function earliestAfter(story: readonly (HistoryEvent | Note)[]): number[] {
  const earliest: number[] = [];
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { at } of story.toReversed()) {
    earliest.push(soonestMs);
    soonestMs = Math.min(soonestMs, at);
  }
  return earliest.reverse();
}
