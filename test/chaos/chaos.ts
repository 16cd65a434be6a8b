/** `npm run chaos -- --minutes N --seed S`: real pods, real servers, real faults, and the checker's verdict. */
import { spawnSync } from "node:child_process";
import { readUsage } from "../support/read-usage.ts";
import { chaosArguments, USAGE } from "./chaos-arguments.ts";
import { runChaos } from "./run-chaos.ts";

const EXIT = { valid: 0, invalid: 1, unknown: 2 } as const;

process.exitCode = await main();

async function main(): Promise<number> {
  const { isJson, ...options } = readUsage(USAGE, () => chaosArguments(process.argv.slice(2)));
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  const say = (line: string): void => {
    (isJson ? process.stderr : process.stdout).write(`${line}\n`);
  };
  const report = await runChaos({ ...options, signal: interrupt.signal, tell: say });
  const { violations, folder, ...figures } = report;
  const counts = { ...figures, commit: commit() };
  if (isJson) process.stdout.write(`${JSON.stringify(counts)}\n`);
  else say(JSON.stringify(counts, undefined, 2));
  for (const { invariant, sentence, events } of violations.slice(0, 5)) {
    say(`${invariant}: ${sentence}`);
    for (const event of events) say(`  ${JSON.stringify(event)}`);
  }
  if (report.notJudged.length > 0) say(`not judged: ${report.notJudged.join("; ")}`);
  if (folder !== undefined) say(`the logs are in ${folder}`);
  return EXIT[report.verdict];
}

/** Of the sources that were tried, where they are under git: `-dirty` when they are not those of the commit. */
function commit(): string {
  const git = (...args: readonly string[]): string => spawnSync("git", args, { encoding: "utf8" }).stdout?.trim() ?? "";
  const name = git("rev-parse", "--short", "HEAD");
  if (name === "") return "unknown";
  return git("status", "--porcelain") === "" ? name : `${name}-dirty`;
}
