/**
 * Plants known bugs, one at a time, in a copy of the project, and runs the check that must catch each. Prints what caught it.
 * Input: `--only <beginning>` of the bugs to plant, repeatable; `--json` for one object on stdout, `Summary`, in place of the table.
 * Exits with 1 when a bug survives, when a harmless change is caught, or when a check fails without any bug.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { readUsage } from "../support/read-usage.ts";
import { checkHealth } from "./check-health.ts";
import { copyProject, ROOT } from "./copy-project.ts";
import type { Check } from "./mutant.ts";
import { type Bug, plantBug, withBug } from "./plant-bug.ts";
import { printTable } from "./print-table.ts";
import { readMutants } from "./read-mutants.ts";
import { chosenOf, readOptions } from "./read-options.ts";
import { type CheckRun, runCheck } from "./run-check.ts";
import { startServers } from "./start-servers.ts";
import { summaryOf } from "./verdict.ts";

const LANES = Math.min(2, availableParallelism());

/** Something to plant, the check to run then, and whether that must fail. */
interface Trial {
  readonly bug: Bug;
  readonly check: Check;
  readonly mustFail: boolean;
}

const found = await readMutants();
const { json, bugs } = readUsage("npm run mutants -- [--only beginning of a bug]... [--json]", () => {
  const { json, only } = readOptions(process.argv.slice(2));
  return { json, bugs: chosenOf([...found.mutants, ...found.controls], only) };
});
const mutants = found.mutants.filter((mutant) => bugs.includes(mutant));
const controls = found.controls.filter((control) => bugs.includes(control));
const trials: readonly Trial[] = [
  ...mutants.map((mutant) => ({ bug: mutant, check: mutant.caughtBy, mustFail: true })),
  ...controls.map((control) => ({ bug: control, check: control.passes, mustFail: false })),
];
// Before anything is started: the sources change, and a bug that has no place any more needs a new one.
for (const { bug } of trials) withBug(ROOT, bug);

const folder = mkdtempSync(join(tmpdir(), "exclaim-teeth-"));
// Also when interrupted; the servers then end by themselves.
process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const checks = [...new Map(trials.map(({ check }) => [JSON.stringify(check), check])).values()];
const stopServers = await startServers(checks);
try {
  const copies = Array.from({ length: LANES }, (_, lane) => copyProject(join(folder, `copy-${lane}`)));
  tell("running all checks without any bug");
  const faults = await checkHealth(copies, checks);
  for (const fault of faults) tell(`FAILS WITHOUT ANY BUG  ${fault}`);
  report(faults.length === 0 ? await runAll(copies) : new Map(), faults.length === 0);
} finally {
  await stopServers();
}

async function runAll(copies: readonly string[]): Promise<ReadonlyMap<Bug, CheckRun>> {
  const waiting = [...trials];
  const runs = new Map<Bug, CheckRun>();
  await Promise.all(
    copies.map(async (copy) => {
      for (let trial = waiting.shift(); trial !== undefined; trial = waiting.shift()) {
        const run = await runTrial(copy, trial);
        runs.set(trial.bug, run);
        const { caughtBy, because, seconds } = run;
        const isAsItShould = (caughtBy !== undefined) === trial.mustFail;
        const word = caughtBy !== undefined ? "caught  " : trial.mustFail ? "SURVIVES" : "harmless";
        const why = caughtBy === undefined ? "" : `\n           ${caughtBy}\n           ${because}`;
        tell(`${isAsItShould ? word : word.toUpperCase()} ${seconds.toFixed(1).padStart(5)} s  ${trial.bug.bug}${why}`);
      }
    }),
  );
  return runs;
}

async function runTrial(copy: string, { bug, check }: Trial): Promise<CheckRun> {
  const takeOut = plantBug(copy, bug);
  try {
    return await runCheck(copy, check);
  } finally {
    takeOut();
  }
}

function report(runs: ReadonlyMap<Bug, CheckRun>, isHealthy: boolean): void {
  const missing: CheckRun = { caughtBy: undefined, because: "", isSound: false, seconds: 0, output: "it was not planted" };
  const verdicts = mutants.map((mutant) => ({ ...(runs.get(mutant) ?? missing), mutant }));
  const harmless = controls.map((control) => ({ ...(runs.get(control) ?? missing), control }));
  const areAllCaught = verdicts.every(({ caughtBy }) => caughtBy !== undefined);
  // A control whose check did not run was not found to be harmless.
  const areAllHarmless = harmless.every(({ caughtBy, isSound }) => caughtBy === undefined && isSound);
  if (json) process.stdout.write(`${JSON.stringify(summaryOf(verdicts, harmless))}\n`);
  else if (isHealthy) printTable(verdicts, harmless);
  process.exitCode = isHealthy && areAllCaught && areAllHarmless ? 0 : 1;
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
