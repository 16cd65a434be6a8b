import { type Check, isSimulation } from "./mutant.ts";
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
    return { caughtBy: broken === undefined ? undefined : `simulation: ${broken}`, because: "", isSound, seconds, output };
  }
  const { failed, passed, seconds, output } = await runTests(copy, check, true);
  const [first] = failed;
  return { caughtBy: first?.title, because: first?.message ?? "", isSound: failed.length + passed > 0, seconds, output };
}
