import type { Stage } from "../stage.ts";
import { spreadOf } from "../statistics.ts";
import type { BenchGroup, BenchSizes, CaseReport, OpenCase } from "./bench-case.ts";
import type { Selection } from "./options.ts";

interface Running {
  readonly name: string;
  readonly open: OpenCase;
  readonly perSecond: number[];
}

/**
 * Measures the cases of one group on a stage that has nothing else: all are open at once and take turns, each round beginning with
 * another one, so that what else the machine does hits all alike. The first round of each warms up and does not count.
 * Throws when a case fails or what it promised does not hold.
 */
export async function runGroup({ group, cases }: Selection, stage: Stage, sizes: BenchSizes): Promise<CaseReport[]> {
  const running: Running[] = [];
  for (const benchCase of await group.begin(stage, sizes, cases)) {
    running.push({ name: benchCase.name, open: await naming(benchCase.name, () => benchCase.open()), perSecond: [] });
  }
  for (let round = 0; round <= sizes.rounds; round += 1) {
    for (const { name, open, perSecond } of rotated(running, round)) {
      const { done, ms } = await naming(name, () => open.round());
      if (round > 0) perSecond.push((done / ms) * 1_000);
    }
  }
  const reports: Omit<CaseReport, "ratios">[] = [];
  for (const { name, open, perSecond } of running) {
    await naming(name, () => open.verify());
    const facts = await naming(name, async () => open.facts?.());
    await open.close();
    reports.push({ name, perSecond: spreadOf(perSecond), ...(facts === undefined ? {} : { facts }) });
  }
  return reports.map((report) => ({ ...report, ratios: ratiosOf(group, report.name, reports) }));
}

function rotated<T>(values: readonly T[], by: number): readonly T[] {
  const start = values.length === 0 ? 0 : by % values.length;
  return [...values.slice(start), ...values.slice(0, start)];
}

/** Of the medians, to those baselines of the group that were measured as well and are not this one. */
function ratiosOf(
  { baselines }: BenchGroup,
  name: string,
  reports: readonly Omit<CaseReport, "ratios">[],
): CaseReport["ratios"] {
  const medianOf = (wanted: string | undefined): number | undefined =>
    reports.find((report) => report.name === wanted)?.perSecond.median;
  const ratioTo = (baseline: string | undefined): number | undefined => {
    const [own, other] = [medianOf(name), medianOf(baseline)];
    return baseline === name || own === undefined || other === undefined ? undefined : own / other;
  };
  const ratios = {
    toHandWritten: ratioTo(baselines.toHandWritten),
    toNoop: ratioTo(baselines.toNoop),
    toLimit: ratioTo(baselines.toLimit?.(name)),
  };
  return Object.fromEntries(Object.entries(ratios).filter(([, ratio]) => ratio !== undefined));
}

async function naming<T>(name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
