import type { BenchCase, BenchGroup, BenchSizes } from "../bench-case.ts";
import { claimerCase } from "./claimer-case.ts";
import { pgbenchCase } from "./pgbench-case.ts";

/** Pairs of one round at each number of claimants: one to two seconds' worth on two cores. */
const PAIRS: Readonly<Record<number, number>> = { 1: 1_000, 10: 4_000, 100: 12_000, 1000: 16_000 };
const SMOKE_PAIRS: Readonly<Record<number, number>> = { 1: 20, 10: 100, 100: 400, 1000: 1_000 };
const CONCURRENCIES = Object.keys(PAIRS).map(Number);

const HAND_WRITTEN = "hand-written-1";
/** What the statements are recorded from takes rows as well: so many for each claimant, and pgbench rounds up to whole batches. */
const SPARE_ROWS = 30 * Math.max(...CONCURRENCIES);

/** Claim and completion alone: the engine at several numbers of claimants, and what the server can do of the same at most. */
export const engineGroup: BenchGroup = {
  name: "engine",
  title: "The engine without a queue: claim and completion, pairs a second",
  cases: [
    HAND_WRITTEN,
    ...CONCURRENCIES.map((concurrency) => `engine-${concurrency}`),
    ...CONCURRENCIES.map((concurrency) => `pgbench-${concurrency}`),
  ],
  baselines: { toHandWritten: HAND_WRITTEN, toLimit: (name) => name.replace("engine", "pgbench") },
  async begin(stage, sizes, names) {
    const database = await stage.openDurableSchema();
    const rows = Math.max(...CONCURRENCIES.map((concurrency) => pairsOf(concurrency, sizes))) * (sizes.rounds + 1) + SPARE_ROWS;
    return names.map((name): BenchCase => {
      const concurrency = Number(/\d+$/.exec(name)?.[0]);
      const settings = { name, concurrency, pairs: pairsOf(concurrency, sizes), rows, database, stage };
      if (name.startsWith("pgbench")) return pgbenchCase(settings);
      return claimerCase(settings, name === HAND_WRITTEN ? "hand" : "engine");
    });
  },
};

function pairsOf(concurrency: number, { smoke }: BenchSizes): number {
  const pairs = (smoke ? SMOKE_PAIRS : PAIRS)[concurrency];
  if (pairs === undefined) throw new Error(`there is no case of ${concurrency} claimants`);
  return pairs;
}
