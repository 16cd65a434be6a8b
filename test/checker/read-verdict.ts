/**
 * Reads the logs of a run and prints what they show: `npm run verdict -- <folder> [--json]`. The folder is that of a run, with one of its
 * own for each episode, or that of an episode.
 * Shape with `--json`: one object, `{ verdict, episodes }`, the verdict being the worst of the episodes.
 * Exits with 0 when all are valid, 1 when one is invalid, 2 when one is unknown and none invalid, 64 when there is nothing to read.
 */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { counted } from "./counted.ts";
import type { Figures, Verdict } from "./history.ts";
import { judge } from "./judge.ts";
import { episodesIn, readHistory } from "./read-history.ts";
import { roundNumbers } from "./round-numbers.ts";
import { tellJudged } from "./tell-judged.ts";

const EXIT = { valid: 0, invalid: 1, unknown: 2 } as const;
const USAGE = "npm run verdict -- <folder> [--json]";

interface Episode extends Verdict {
  readonly episode: string;
  readonly events: number;
  readonly files: number;
  readonly tornLines: number;
}

try {
  const { isJson, needsHelp, folder } = asked();
  if (needsHelp) process.stdout.write(`${USAGE}\n`);
  else tell(episodesIn(folder()).map(judgeEpisode), isJson);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exitCode = 64;
}

function asked() {
  const { values, positionals } = parseArgs({
    options: { json: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  return { isJson: values.json, needsHelp: values.help, folder: () => folderOf(positionals) };
}

function folderOf([folder, second]: readonly string[]): string {
  if (folder === undefined) throw new Error("Name the folder of a run's logs.");
  if (second !== undefined) throw new Error(`Name one folder: ${second} is a second one.`);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return folder;
  throw new Error(`There is no folder ${folder}.`);
}

function tell(episodes: readonly Episode[], isJson: boolean): void {
  const verdict = worst(episodes);
  if (isJson) process.stdout.write(`${JSON.stringify({ verdict, episodes })}\n`);
  else for (const episode of episodes) process.stdout.write(story(episode));
  process.exitCode = EXIT[verdict];
}

function judgeEpisode(folder: string): Episode {
  const { events, files, tornLines } = readHistory(folder);
  return { episode: basename(folder), ...judge(events), events: events.length, files, tornLines };
}

function worst(episodes: readonly Episode[]): Verdict["verdict"] {
  const verdicts = new Set(episodes.map(({ verdict }) => verdict));
  return verdicts.has("invalid") ? "invalid" : verdicts.has("unknown") ? "unknown" : "valid";
}

function story(episode: Episode): string {
  const { events, files, tornLines, operations, faultsHit, reason, judged, violations } = episode;
  const figures: Partial<Figures> = episode.figures ?? {};
  const { unknownAnswers = 0, duplicateEffects = 0, lockOverlapMs = 0 } = figures;
  const lines = [
    `${episode.episode}: ${episode.verdict}${reason === undefined ? "" : `: ${reason}`}`,
    `  ${counted(events, "event")} of ${counted(files, "log")}, ${counted(tornLines, "line")} cut off`,
    `  ${counted(operations, "operation")}, ${counted(faultsHit, "fault")} hit, ${counted(unknownAnswers, "answer")} unknown`,
    `  ${counted(duplicateEffects, "effect")} came again, ${overlap(lockOverlapMs)}`,
    ...(judged === undefined ? [] : [`  ${tellJudged(judged)}`]),
  ];
  for (const { invariant, sentence, events: shown } of violations) {
    lines.push("", `${invariant}: ${roundNumbers(sentence)}`, ...shown.map((event) => `  ${JSON.stringify(event)}`));
  }
  return `${lines.join("\n")}\n`;
}

function overlap(ms: number): string {
  return ms === 0 ? "no lock was had by two at once" : `locks were had by two at once for ${roundNumbers(`${ms}`)} ms`;
}
