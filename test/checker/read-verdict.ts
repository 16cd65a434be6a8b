/**
 * Reads the logs of a run and prints what they show: `npm run verdict -- <folder> [--json]`.
 * Exits with 0 when it is valid, 1 when it is invalid, 2 when it is unknown, 64 when no folder is named.
 */
import { parseArgs } from "node:util";
import type { Verdict } from "./history.ts";
import { judge } from "./judge.ts";
import { type RecordedHistory, readHistory } from "./read-history.ts";

const { values, positionals } = parseArgs({ options: { json: { type: "boolean", default: false } }, allowPositionals: true });
const [folder] = positionals;
if (folder === undefined) {
  process.stderr.write("Name the folder of a run's logs: npm run verdict -- <folder> [--json]\n");
  process.exitCode = 64;
} else {
  const recorded = readHistory(folder);
  const verdict = judge(recorded.events);
  const { tornLines, files } = recorded;
  process.stdout.write(values.json ? `${JSON.stringify({ ...verdict, files, tornLines })}\n` : story(recorded, verdict));
  process.exitCode = { valid: 0, invalid: 1, unknown: 2 }[verdict.verdict];
}

function story({ events, files, tornLines }: RecordedHistory, verdict: Verdict): string {
  const { operations, faultsHit, figures, violations, reason } = verdict;
  const lines = [
    `${verdict.verdict}${reason === undefined ? "" : `: ${reason}`}`,
    `  ${events.length} events of ${files} logs, ${tornLines} lines cut off`,
    `  ${operations} operations, ${faultsHit} faults hit, ${figures?.unknownAnswers ?? 0} answers unknown`,
    `  ${figures?.duplicateEffects ?? 0} effects came again, locks were had twice for ${figures?.lockOverlapMs ?? 0} ms`,
  ];
  for (const { invariant, sentence, events: shown } of violations) {
    lines.push("", `${invariant}: ${sentence}`, ...shown.map((event) => `  ${JSON.stringify(event)}`));
  }
  return `${lines.join("\n")}\n`;
}
