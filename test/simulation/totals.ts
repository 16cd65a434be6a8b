import { counted } from "../checker/counted.ts";
import type { JudgedRun } from "./run-seed.ts";

/** What many runs came to, as plain data: processes send it to each other. */
export interface Totals {
  readonly seeds: number;
  readonly events: number;
  readonly operations: number;
  readonly virtualMs: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: number;
  /** Seeds whose history broke an invariant. */
  readonly failing: readonly number[];
}

export const NOTHING: Totals = {
  seeds: 0,
  events: 0,
  operations: 0,
  virtualMs: 0,
  faults: {},
  violations: 0,
  failing: [],
};

export function addRun(totals: Totals, { run, verdict }: JudgedRun): Totals {
  const { violations, operations } = verdict;
  return addTotals(totals, {
    seeds: 1,
    events: run.events,
    operations,
    virtualMs: run.virtualMs,
    faults: Object.fromEntries(run.chronicle.faults),
    violations: violations.length,
    failing: violations.length === 0 ? [] : [run.plan.seed],
  });
}

export function addTotals(one: Totals, other: Totals): Totals {
  const faults: Record<string, number> = { ...one.faults };
  for (const [kind, count] of Object.entries(other.faults)) faults[kind] = (faults[kind] ?? 0) + count;
  return {
    seeds: one.seeds + other.seeds,
    events: one.events + other.events,
    operations: one.operations + other.operations,
    virtualMs: one.virtualMs + other.virtualMs,
    faults,
    violations: one.violations + other.violations,
    failing: other.failing.length === 0 ? one.failing : [...one.failing, ...other.failing],
  };
}

export function faultCount({ faults }: Totals): number {
  return Object.values(faults).reduce((sum, count) => sum + count, 0);
}

/** A few lines for people. `seconds`: how long the runs took, where that was measured. */
export function reportOf(totals: Totals, seconds?: number): string {
  const { seeds, events, operations, virtualMs, faults, violations, failing } = totals;
  const kinds = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `${counted(seeds, "seed")}${paceOf(seeds, seconds)}, ${counted(events, "event")}, ` +
      `${counted(operations, "operation")} judged, ${virtualTime(virtualMs)}.`,
    kinds.length === 0
      ? "No fault hit."
      : `${counted(faultCount(totals), "fault")} hit: ${kinds.map(([kind, count]) => `${kind} ${count}`).join(", ")}.`,
    violations === 0
      ? "No promise was broken."
      : `${counted(violations, "violation")}, in ${failing.length === 1 ? "seed" : "seeds"} ${failing.join(", ")}.`,
    "",
  ].join("\n");
}

function paceOf(seeds: number, seconds: number | undefined): string {
  if (seconds === undefined) return "";
  return ` in ${seconds.toFixed(1)} s (${Math.round(seeds / Math.max(seconds, 0.001))} a second)`;
}

function virtualTime(ms: number): string {
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} virtual seconds`;
  if (ms < 7_200_000) return `${(ms / 60_000).toFixed(1)} virtual minutes`;
  return `${(ms / 3_600_000).toFixed(1)} virtual hours`;
}
