import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { minimise } from "./minimise.ts";
import { planOf } from "./plan.ts";
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
 * Exit code 1 when a promise was broken; the story of the first such seed, made as small as it gets, goes to stderr.
 */
const { values: given } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    workers: { type: "string", default: "1" },
    "keep-going": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const PROGRESS_EVERY_MS = 10_000;

interface Range {
  readonly from: number;
  readonly seeds: number;
}

void main();

async function main(): Promise<void> {
  if (given.seed !== undefined) return await tellOne(Number(given.seed));
  const range = { from: Number(given.from), seeds: Number(given.seeds) };
  if (process.send !== undefined) {
    process.send(await runRange(range));
    process.disconnect();
    return;
  }
  const startedMs = performance.now();
  const workers = Math.max(1, Number(given.workers));
  const totals = workers === 1 ? await runRange(range) : await share(range, workers);
  const { seeds, events, violations, failing } = totals;
  const report = reportOf(totals, (performance.now() - startedMs) / 1_000);
  if (given.json) process.stdout.write(`${JSON.stringify({ seeds, events, faults: faultCount(totals), violations })}\n`);
  (given.json ? process.stderr : process.stdout).write(report);
  const [first] = failing;
  if (first === undefined) return;
  process.exitCode = 1;
  const { plan, verdict, tries } = await minimise(planOf(first));
  process.stderr.write(`\nThe smallest that still fails, after ${tries} tries:\n\n${await storyOf(plan, verdict.violations)}`);
}

async function tellOne(seed: number): Promise<void> {
  const { run, verdict } = await judgeSeed(seed);
  process.stdout.write(await storyOf(planOf(seed), verdict.violations));
  process.stdout.write(reportOf(addRun(NOTHING, { run, verdict }), 0));
  if (verdict.violations.length > 0) process.exitCode = 1;
}

async function runRange({ from, seeds }: Range): Promise<Totals> {
  let totals = NOTHING;
  let tellAtMs = performance.now() + PROGRESS_EVERY_MS;
  for (let seed = from; seed < from + seeds; seed += 1) {
    totals = addRun(totals, await judgeSeed(seed));
    if (totals.failing.length > 0 && !given["keep-going"]) break;
    if (performance.now() < tellAtMs) continue;
    tellAtMs = performance.now() + PROGRESS_EVERY_MS;
    process.stderr.write(`${totals.seeds} of ${seeds} seeds from ${from}, ${totals.violations} violations\n`);
  }
  return totals;
}

/** Processes of the same program, each with a part of the seeds. */
async function share({ from, seeds }: Range, workers: number): Promise<Totals> {
  const each = Math.ceil(seeds / workers);
  const parts = Array.from({ length: workers }, (_, index) => ({
    from: from + index * each,
    seeds: Math.max(0, Math.min(each, seeds - index * each)),
  }));
  const all = await Promise.all(parts.map(runElsewhere));
  return all.reduce(addTotals, NOTHING);
}

function runElsewhere({ from, seeds }: Range): Promise<Totals> {
  const args = ["--from", String(from), "--seeds", String(seeds), ...(given["keep-going"] ? ["--keep-going"] : [])];
  const child = fork(fileURLToPath(import.meta.url), args);
  return new Promise((resolve, reject) => {
    child.once("message", (totals) => resolve(totals as Totals));
    child.once("exit", (code) => reject(new Error(`a worker ended with code ${code} and no result`)));
  });
}
