/** `npm run chaos -- --minutes N --seed S`: real pods, real servers, real faults, and the checker's verdict. */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { ACTIONS, BROKERS, LOCKS } from "./failpoint.ts";
import { runChaos } from "./run-chaos.ts";

const EXIT = { valid: 0, invalid: 1, unknown: 2 } as const;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    brokers: { type: "string", default: BROKERS.join(",") },
    locks: { type: "string", default: LOCKS.join(",") },
    faults: { type: "string", default: "" },
    seconds: { type: "string", default: "40" },
    keep: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

const say = (line: string): void => {
  (values.json ? process.stderr : process.stdout).write(`${line}\n`);
};
const report = await runChaos({
  minutes: positive("minutes", values.minutes),
  seed: positive("seed", values.seed),
  brokers: chosen("brokers", values.brokers, BROKERS),
  locks: chosen("locks", values.locks, LOCKS),
  actions:
    values.faults === "" ? [] : ACTIONS.filter((action) => values.faults.split(",").some((part) => action.includes(part))),
  episodeMs: positive("seconds", values.seconds) * 1_000,
  ...(values.keep === undefined ? {} : { keep: values.keep }),
  signal: interrupt.signal,
  tell: say,
});
const { violations, folder, ...figures } = report;
const counts = { ...figures, commit: commit() };
if (values.json) process.stdout.write(`${JSON.stringify(counts)}\n`);
else say(JSON.stringify(counts, undefined, 2));
for (const { invariant, sentence, events } of violations.slice(0, 5)) {
  say(`${invariant}: ${sentence}`);
  for (const event of events) say(`  ${JSON.stringify(event)}`);
}
if (folder !== undefined) say(`the logs are in ${folder}`);
process.exitCode = EXIT[report.verdict];

function positive(name: string, text: string): number {
  const number = Number(text);
  if (text !== "" && Number.isFinite(number) && number > 0) return number;
  throw new Error(`--${name} must be a number above 0`);
}

function chosen<T extends string>(name: string, text: string, known: readonly T[]): readonly T[] {
  const names = text.split(",");
  const unknown = names.find((part) => !known.includes(part as T));
  if (unknown !== undefined) throw new Error(`--${name}: ${unknown} is none of ${known.join(", ")}`);
  return known.filter((candidate) => names.includes(candidate));
}

/** Of the sources that were tried, where they are under git. */
function commit(): string {
  return spawnSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).stdout?.trim() || "unknown";
}
