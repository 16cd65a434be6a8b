import { type Check, isSimulation, type TestCheck } from "./mutant.ts";
import { runSimulation } from "./run-simulation.ts";
import { runTests } from "./run-tests.ts";

type Faults = readonly string[];

/**
 * Runs everything the checks ask for, without any bug: a test that fails anyway would seem to catch everything.
 * Returns what failed twice, nothing when all is well.
 */
export async function checkHealth(copies: readonly string[], checks: readonly Check[]): Promise<Faults> {
  const waiting = runsOf(checks);
  const faults = await Promise.all(
    copies.map(async (copy) => {
      const found: string[] = [];
      for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
        const first = await run(copy);
        // A busy machine may fail a test once, and a test that passes alone is sound.
        if (first.length > 0) found.push(...(await run(copy)));
      }
      return found;
    }),
  );
  return faults.flat();
}

/** Few runs for many checks: those of the same files and products share one, and the simulation is as long as the longest. */
function runsOf(checks: readonly Check[]): ((copy: string) => Promise<Faults>)[] {
  const groups = new Map<string, TestCheck[]>();
  for (const check of checks) {
    if (isSimulation(check)) continue;
    const key = JSON.stringify([check.files, check.products]);
    groups.set(key, [...(groups.get(key) ?? []), check]);
  }
  const seeds = Math.max(0, ...checks.map((check) => (isSimulation(check) ? check.sim.seeds : 0)));
  return [
    ...(seeds === 0 ? [] : [(copy: string) => simulationFaults(copy, seeds)]),
    ...[...groups.values()].map((group) => (copy: string) => testFaults(copy, group)),
  ];
}

/** `checks` are of the same files and products. */
async function testFaults(copy: string, checks: readonly TestCheck[]): Promise<Faults> {
  const [first] = checks;
  if (first === undefined) return [];
  const titles = checks.some((check) => check.titles === undefined) ? undefined : checks.map((check) => check.titles).join("|");
  const { files, products = [] } = first;
  const { failed, passed, output } = await runTests(
    copy,
    { files, products, ...(titles === undefined ? {} : { titles }) },
    false,
  );
  if (failed.length + passed === 0) return [`${files.join(", ")}: no test runs: ${output}`];
  return failed.map(({ title, message }) => `${title}: ${message}`);
}

async function simulationFaults(copy: string, seeds: number): Promise<Faults> {
  const { broken, isSound, output } = await runSimulation(copy, { sim: { seeds } });
  if (isSound && broken === undefined) return [];
  return [`the simulation: ${broken ?? output}`];
}
