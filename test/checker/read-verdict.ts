/**
 * Reads the logs of a run and prints what they show: `npm run verdict -- <folder> [--json]`. The folder is that of a run, with one of its
 * own for each episode, or that of an episode.
 * Exits with 0 when all are valid, 1 when one is invalid, 2 when one is unknown and none invalid, 64 when there is nothing to read.
 */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import type { Verdict } from "./history.ts";
import { judge } from "./judge.ts";
import { episodesIn, readHistory } from "./read-history.ts";

const EXIT = { valid: 0, invalid: 1, unknown: 2 } as const;
const USAGE = "npm run verdict -- <folder> [--json]";

interface Episode extends Verdict {
  readonly episode: string;
  readonly events: number;
  readonly files: number;
  readonly tornLines: number;
}

try {
  const { values, positionals } = parseArgs({
    options: { json: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const [folder] = positionals;
  if (folder === undefined) throw new Error("Name the folder of a run's logs.");
  const episodes = episodesIn(folder).map(judgeEpisode);
  const verdict = worst(episodes);
  const [only] = episodes;
  if (values.json) process.stdout.write(`${JSON.stringify(episodes.length === 1 ? only : { verdict, episodes })}\n`);
  else for (const episode of episodes) process.stdout.write(story(episode));
  process.exitCode = EXIT[verdict];
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exitCode = 64;
}

function judgeEpisode(folder: string): Episode {
  const { events, files, tornLines } = readHistory(folder);
  return { episode: basename(folder), ...judge(events), events: events.length, files, tornLines };
}

function worst(episodes: readonly Episode[]): Verdict["verdict"] {
  const verdicts = new Set(episodes.map(({ verdict }) => verdict));
  return verdicts.has("invalid") ? "invalid" : verdicts.has("unknown") ? "unknown" : "valid";
}

function story({
  episode,
  verdict,
  reason,
  events,
  files,
  tornLines,
  operations,
  faultsHit,
  figures,
  violations,
}: Episode): string {
  const lines = [
    `${episode}: ${verdict}${reason === undefined ? "" : `: ${reason}`}`,
    `  ${events} events of ${files} logs, ${tornLines} lines cut off`,
    `  ${operations} operations, ${faultsHit} faults hit, ${figures?.unknownAnswers ?? 0} answers unknown`,
    `  ${figures?.duplicateEffects ?? 0} effects came again, locks were had twice for ${figures?.lockOverlapMs ?? 0} ms`,
  ];
  for (const { invariant, sentence, events: shown } of violations) {
    lines.push("", `${invariant}: ${sentence}`, ...shown.map((event) => `  ${JSON.stringify(event)}`));
  }
  return `${lines.join("\n")}\n`;
}
