import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { counted } from "../checker/counted.ts";
import { readUsage } from "../support/read-usage.ts";
import { minimise } from "./minimise.ts";
import { planOf } from "./plan.ts";
import { readOptions, type SimOptions, USAGE } from "./read-options.ts";
import { judgeSeed } from "./run-seed.ts";
import { storyOf } from "./story.ts";
import { addRun, addTotals, faultCount, NOTHING, reportOf, type Totals } from "./totals.ts";

/**
 * `npm run sim`: the engine's own files in a simulated world, one seed after another, until one breaks a promise. `USAGE` has its options.
 *
 * Exit code 64 when it is asked for what it does not know, 1 when a promise was broken; the story of the first such seed, made as small as it gets, goes to stderr.
 */
const PROGRESS_EVERY_MS = 10_000;

type Range = Pick<SimOptions, "from" | "seeds" | "keepsGoing">;

void main();

async function main(): Promise<void> {
  const options = readUsage(USAGE, () => readOptions(process.argv.slice(2)));
  if (options.seed !== undefined) return await tellOne(options.seed, options);
  if (process.send !== undefined) {
    process.send(await runRange(options));
    process.disconnect();
    return;
  }
  const startedMs = performance.now();
  const totals = options.workers === 1 ? await runRange(options) : await share(options);
  const report = reportOf(totals, (performance.now() - startedMs) / 1_000);
  if (options.isJson) process.stdout.write(summaryOf(totals));
  (options.isJson ? process.stderr : process.stdout).write(report);
  const [first] = totals.failing;
  if (first === undefined) return;
  process.exitCode = 1;
  const { plan, verdict, tries } = await minimise(planOf(first));
  process.stderr.write(
    `\nThe smallest that still fails, after ${counted(tries, "try", "tries")}:\n\n${await storyOf(plan, verdict.violations)}`,
  );
}

function summaryOf(totals: Totals): string {
  const { seeds, events, violations } = totals;
  return `${JSON.stringify({ seeds, events, faults: faultCount(totals), violations })}\n`;
}

async function tellOne(seed: number, { isJson }: SimOptions): Promise<void> {
  const { run, verdict } = await judgeSeed(seed);
  const totals = addRun(NOTHING, { run, verdict });
  if (isJson) process.stdout.write(summaryOf(totals));
  const out = isJson ? process.stderr : process.stdout;
  out.write(await storyOf(planOf(seed), verdict.violations));
  out.write(reportOf(totals));
  if (verdict.violations.length > 0) process.exitCode = 1;
}

async function runRange({ from, seeds, keepsGoing }: Range): Promise<Totals> {
  let totals = NOTHING;
  let tellAtMs = performance.now() + PROGRESS_EVERY_MS;
  for (let seed = from; seed < from + seeds; seed += 1) {
    totals = addRun(totals, await judgeSeed(seed));
    if (totals.failing.length > 0 && !keepsGoing) break;
    if (performance.now() < tellAtMs) continue;
    tellAtMs = performance.now() + PROGRESS_EVERY_MS;
    process.stderr.write(`${totals.seeds} of ${seeds} seeds from ${from}, ${counted(totals.violations, "violation")}\n`);
  }
  return totals;
}

/** Processes of the same program, each with a part of the seeds. */
async function share({ from, seeds, workers, keepsGoing }: SimOptions): Promise<Totals> {
  const each = Math.ceil(seeds / workers);
  const parts = Array.from({ length: workers }, (_, index) => ({
    from: from + index * each,
    seeds: Math.min(each, seeds - index * each),
    keepsGoing,
  }));
  const all = await Promise.all(parts.filter((part) => part.seeds > 0).map(runElsewhere));
  return all.reduce(addTotals, NOTHING);
}

function runElsewhere({ from, seeds, keepsGoing }: Range): Promise<Totals> {
  const args = ["--from", String(from), "--seeds", String(seeds), ...(keepsGoing ? ["--keep-going"] : [])];
  const child = fork(fileURLToPath(import.meta.url), args);
  return new Promise((resolve, reject) => {
    child.once("message", (totals) => resolve(totals as Totals));
    child.once("exit", (code) => reject(new Error(`a worker ended with code ${code} and no result`)));
  });
}
