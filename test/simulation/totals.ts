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

/** A few lines for people. */
export function reportOf(totals: Totals, seconds: number): string {
  const { seeds, events, operations, virtualMs, faults, violations, failing } = totals;
  const perSecond = Math.round(seeds / Math.max(seconds, 0.001));
  const kinds = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `${seeds} seeds in ${seconds.toFixed(1)} s (${perSecond} a second), ${events} events, ${operations} operations judged, ` +
      `${(virtualMs / 3_600_000).toFixed(1)} virtual hours.`,
    `${faultCount(totals)} faults hit: ${kinds.map(([kind, count]) => `${kind} ${count}`).join(", ")}.`,
    violations === 0 ? "No promise was broken." : `${violations} violations, in seeds ${failing.join(", ")}.`,
    "",
  ].join("\n");
}
