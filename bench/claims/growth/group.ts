import { Child } from "../../child.ts";
import type { Stage } from "../../stage.ts";
import type { BenchGroup, BenchSizes, CaseReport } from "../bench-case.ts";
import { cornersOf } from "./corner.ts";
import { growthCase } from "./growth-case.ts";
import type { PodCalls } from "./pod-calls.ts";

/** What a claim costs as the table, what was claimed of it, the pods and the scopes grow. */
export const growthGroup: BenchGroup = {
  name: "growth",
  title: "Growth: claim and completion by 100 claimants at a time, pairs a second",
  cases: [...cornersOf({ smoke: false }).keys()],
  baselines: {},
  async begin(stage, sizes, names) {
    const database = await stage.openDurableSchema();
    const corners = cornersOf(sizes);
    const startPod = podStarter(stage, sizes);
    return names.map((name) => {
      const corner = corners.get(name);
      if (corner === undefined) throw new Error(`there is no case ${name} in this group`);
      return growthCase({ name, corner, sizes, database, stage, startPod });
    });
  },
  summary: (reports) => [
    worstToBest("Time of a claim", reports, ({ perSecond }) => 1_000 / perSecond.median, "ms"),
    worstToBest("Pages read for a claim", reports, ({ facts }) => facts?.buffersPerClaim ?? Number.NaN, "pages"),
  ],
};

/** Processes of each case's own; where figures do not matter, the same for all, since starting them takes longer than the work. */
function podStarter(stage: Stage, { smoke }: BenchSizes): (own: Stage, index: number) => Child<PodCalls> {
  const start = (on: Stage): Child<PodCalls> => Child.start<PodCalls>(on, "claims/growth/pod.ts");
  const shared: Child<PodCalls>[] = [];
  return (own, index) => {
    if (!smoke) return start(own);
    shared[index] ??= start(stage);
    return shared[index];
  };
}

function worstToBest(
  what: string,
  reports: readonly CaseReport[],
  costOf: (report: CaseReport) => number,
  unit: string,
): string {
  const sorted = [...reports].sort((a, b) => costOf(a) - costOf(b));
  const [best, worst] = [sorted[0], sorted.at(-1)];
  if (best === undefined || worst === undefined) return `${what}: no case was measured`;
  const [least, most] = [costOf(best), costOf(worst)];
  const figure = (cost: number): string => `${Number(cost.toPrecision(3))} ${unit}`;
  return `${what}: ${figure(least)} at best (${best.name}), ${figure(most)} at worst (${worst.name}), ${(most / least).toFixed(2)} times`;
}
