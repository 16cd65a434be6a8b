import type { Verdict, Violation } from "../checker/history.ts";
import { judge } from "../checker/judge.ts";
import { SIMULATED_RUN } from "../checker/judge-options.ts";
import { earnedEnds } from "./earned-ends.ts";
import { keptLeases } from "./kept-leases.ts";
import { keptRows } from "./kept-rows.ts";
import { type Plan, planOf } from "./plan.ts";
import { MAX_DEFERRALS } from "./pod.ts";
import { withoutRealTime } from "./real-time-trap.ts";
import { toldResults } from "./told-results.ts";
import { type Planted, type Run, runPlan } from "./world.ts";

/** A run and what the checker says of it. */
export interface JudgedRun {
  readonly run: Run;
  readonly verdict: Verdict;
}

/** Runs a plan and judges its history, together with the rejections that nobody took care of. `planted`: a bug, to see it found. */
export async function judgePlan(plan: Plan, planted?: Planted): Promise<JudgedRun> {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  const { stackTraceLimit } = Error;
  process.on("unhandledRejection", note);
  // A run makes errors by the dozen, and nobody reads where they come from.
  Error.stackTraceLimit = 0;
  try {
    const run = await withoutRealTime(() => runPlan(plan, planted === undefined ? {} : { planted }));
    // Node tells of them once the microtasks are done.
    await new Promise((resolve) => setImmediate(resolve));
    const escaped = unhandled.map((error) => ({
      at: run.virtualMs,
      by: "runtime",
      what: "escaped" as const,
      kind: "rejection" as const,
      detail: String(error),
    }));
    const history = escaped.length === 0 ? run.history : [...run.history, ...escaped];
    return {
      run,
      verdict: alsoBy(judge(history, SIMULATED_RUN), [
        ...keptLeases(history),
        ...keptRows(history, plan),
        ...toldResults(history),
        ...earnedEnds(history, plan, MAX_DEFERRALS),
      ]),
    };
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    process.off("unhandledRejection", note);
  }
}

function alsoBy(verdict: Verdict, found: readonly Violation[]): Verdict {
  if (found.length === 0) return verdict;
  return { ...verdict, verdict: "invalid", violations: [...verdict.violations, ...found] };
}

export function judgeSeed(seed: number): Promise<JudgedRun> {
  return judgePlan(planOf(seed));
}
