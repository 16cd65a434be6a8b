import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { minimise } from "./minimise.ts";
import { planOf } from "./plan.ts";
import { readOptions, type SimOptions } from "./read-options.ts";
import { judgeSeed } from "./run-seed.ts";
import { storyOf } from "./story.ts";
import { addRun, addTotals, faultCount, NOTHING, reportOf, type Totals } from "./totals.ts";

/**
 * `npm run sim`: the engine's own files in a simulated world, one seed after another, until one breaks a promise.
 *
 *     --seeds N      how many seeds (default 10,000)
 *     --from S       the first of them (default 1)
 *     --workers W    processes that share them (default 1)
 *     --seed S       this seed alone, and its story
 *     --keep-going   all seeds, also after one that failed
 *     --json         one object on stdout: { seeds, events, faults, violations }
 *
 * Exit code 64 when it is asked for what it does not know, 1 when a promise was broken; the story of the first such seed, made as small as it gets, goes to stderr.
 */
const PROGRESS_EVERY_MS = 10_000;

/** As sysexits(3) has it. */
const WRONG_USE = 64;

type Range = Pick<SimOptions, "from" | "seeds" | "keepsGoing">;

void main();

async function main(): Promise<void> {
  let options: SimOptions;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message.split("\n")[0] : String(error)}\n`);
    process.exitCode = WRONG_USE;
    return;
  }
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
  process.stderr.write(`\nThe smallest that still fails, after ${tries} tries:\n\n${await storyOf(plan, verdict.violations)}`);
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
  out.write(reportOf(totals, 0));
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
    process.stderr.write(`${totals.seeds} of ${seeds} seeds from ${from}, ${totals.violations} violations\n`);
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
