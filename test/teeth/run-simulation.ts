import { join } from "node:path";
import type { SimulationCheck } from "./mutant.ts";
import { runProgram } from "./run-program.ts";

const LIMIT_MS = 240_000;
const OUTPUT_LENGTH = 5_000;

export interface SimulationRun {
  /** What was broken, in the simulation's own words; undefined when nothing was. */
  readonly broken: string | undefined;
  /** It came to its end and answered as it should. */
  readonly isSound: boolean;
  readonly seconds: number;
  readonly output: string;
}

/** Runs the simulation of a copy. */
export async function runSimulation(copy: string, { sim: { seeds } }: SimulationCheck): Promise<SimulationRun> {
  const program = [join(copy, "node_modules/tsx/dist/cli.mjs"), "test/simulation/sim.ts", "--seeds", String(seeds), "--json"];
  const env = { TSX_DISABLE_CACHE: "1" };
  const { code, stdout, stderr, seconds } = await runProgram(program, { cwd: copy, env, limitMs: LIMIT_MS });
  const violations = violationsOf(stdout);
  const isBroken = code === 1 && violations !== undefined && violations > 0;
  return {
    broken: isBroken ? brokenInvariant(stderr) : undefined,
    isSound: isBroken || (code === 0 && violations === 0),
    seconds,
    output: (stdout + stderr).slice(-OUTPUT_LENGTH),
  };
}

/** Of the one object on stdout; undefined when there is none. */
function violationsOf(stdout: string): number | undefined {
  try {
    const { violations } = JSON.parse(stdout) as { readonly violations?: unknown };
    return Array.isArray(violations) ? violations.length : typeof violations === "number" ? violations : undefined;
  } catch {
    return undefined;
  }
}

/** The first line that names an invariant, or else the first that says anything. */
export function brokenInvariant(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.find((line) => /\b[ISL]\d{1,2}\b/.test(line)) ?? lines.find((line) => line !== "") ?? "an invariant";
}
