import { type Check, isSimulation, type SimulationCheck } from "./mutant.ts";
import { runSimulation } from "./run-simulation.ts";
import { runTests } from "./run-tests.ts";

export interface CheckRun {
  /** What failed first, a test's title or a broken invariant; undefined when nothing did. */
  readonly caughtBy: string | undefined;
  /** What that said. */
  readonly because: string;
  /** Something was checked at all. */
  readonly isSound: boolean;
  readonly seconds: number;
  readonly output: string;
}

/** Runs a check in a copy, up to the first failure. */
export async function runCheck(copy: string, check: Check): Promise<CheckRun> {
  if (isSimulation(check)) {
    const { broken, isSound, seconds, output } = await runSimulation(copy, check);
    const caughtBy = isAsked(check, broken) ? `simulation: ${broken}` : undefined;
    return { caughtBy, because: "", isSound, seconds, output };
  }
  const { failed, passed, seconds, output } = await runTests(copy, check, true);
  const [first] = failed;
  return { caughtBy: first?.title, because: first?.message ?? "", isSound: failed.length + passed > 0, seconds, output };
}

/** `broken` begins with the name of the invariant. */
export function isAsked({ sim: { breaks } }: SimulationCheck, broken: string | undefined): boolean {
  if (broken === undefined) return false;
  return breaks === undefined || breaks.some((invariant) => broken.startsWith(`${invariant} `));
}
