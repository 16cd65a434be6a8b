import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { HistoryEvent } from "./history.ts";

/** A run as its logs tell it. */
export interface RecordedHistory {
  /** In order of time; those of one file in the order of its lines where times are equal or unknown. */
  readonly events: readonly HistoryEvent[];
  readonly files: number;
  /** Last lines that a killed process did not finish. */
  readonly tornLines: number;
}

/** The folders with logs in or right below `folder`, one for each episode of a run. Throws when there are none. */
export function episodesIn(folder: string): readonly string[] {
  const hasLogs = (path: string): boolean => readdirSync(path).some((name) => name.endsWith(".jsonl"));
  if (hasLogs(folder)) return [folder];
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const episodes = below.map(({ name }) => join(folder, name)).filter(hasLogs);
  if (episodes.length === 0) throw new Error(`${folder} has no logs: name the folder that was given to chaos as --keep`);
  return episodes.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
}

/**
 * Reads all logs of a folder, which are its files that end in `.jsonl`, one event a line.
 * A last line that is cut off is left out and counted.
 * Throws when any other line is no event: then the log is damaged, and nothing it says can be trusted.
 */
export function readHistory(folder: string): RecordedHistory {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .sort();
  const events: HistoryEvent[] = [];
  let tornLines = 0;
  for (const name of files) {
    const lines = readFileSync(join(folder, name), "utf8").split("\n");
    lines.forEach((line, index) => {
      if (line === "") return;
      const event = eventOf(line);
      if (event !== undefined) events.push(event);
      else if (index === lines.length - 1) tornLines += 1;
      else throw new Error(`${name}, line ${index + 1} is no event: ${line.slice(0, 200)}`);
    });
  }
  return { events: sortedByTime(events), files: files.length, tornLines };
}

/** What a checker of today knows: a line that tells something else would be passed over by every invariant. */
const KINDS: Readonly<Record<HistoryEvent["what"], true>> = {
  sent: true,
  delivered: true,
  started: true,
  leased: true,
  held: true,
  write: true,
  outcome: true,
  settle: true,
  escaped: true,
  owner: true,
  token: true,
  wrote: true,
  "final-row": true,
  "final-claim": true,
  effect: true,
  "final-message": true,
  "final-letter": true,
  lock: true,
  fault: true,
  frame: true,
};

/** JSON has no NaN: a time that is null or missing is not known. */
function eventOf(line: string): HistoryEvent | undefined {
  try {
    const event = JSON.parse(line);
    if (typeof event?.what !== "string" || !Object.hasOwn(KINDS, event.what)) return undefined;
    return typeof event.at === "number" ? event : { ...event, at: Number.NaN };
  } catch {
    return undefined;
  }
}

/** What has no time comes last. */
function sortedByTime(events: HistoryEvent[]): HistoryEvent[] {
  const timed = events.filter(({ at }) => Number.isFinite(at));
  const rest = events.filter(({ at }) => !Number.isFinite(at));
  return [...timed.sort((one, other) => one.at - other.at), ...rest];
}
