import type { BenchGroup } from "../bench-case.ts";
import { latencyCase } from "./latency-case.ts";
import { memoryCase } from "./memory-case.ts";

/** In percent of the peak rate. */
const LATENCY_LOADS: Readonly<Record<string, number>> = { "latency-10": 10, "latency-50": 50, "latency-90": 90 };

/** What becomes of memory over a day's claims, and how long a claim takes when the process is not, half or nearly busy. */
export const enduranceGroup: BenchGroup = {
  name: "endurance",
  title: "A day's claims in one process, and the time of a claim by load: claims a second",
  cases: ["memory", ...Object.keys(LATENCY_LOADS)],
  baselines: {},
  async begin(stage, sizes, names) {
    const database = await stage.openDurableSchema();
    return names.map((name) => {
      if (name === "memory") return memoryCase({ name, database, stage }, sizes);
      const percent = LATENCY_LOADS[name];
      if (percent === undefined) throw new Error(`there is no case ${name} in this group`);
      return latencyCase({ name, database, stage }, percent, sizes);
    });
  },
};
