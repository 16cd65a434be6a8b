import type { BenchCase, BenchSizes, OpenCase } from "../bench-case.ts";
import type { Latencies } from "./claimer-calls.ts";
import { type Claimer, type ClaimerSettings, openClaimer } from "./open-claimer.ts";

/** As many at a time as the peak rate is measured with. */
const PEAK_CONCURRENCY = 1_000;
/** Twice: to warm up, and to measure. */
const PEAK_CLAIMS = 20_000;
const SMOKE_PEAK_CLAIMS = 500;
const ROUND_MS = 2_000;
const SMOKE_ROUND_MS = 300;
/** Bounds the table: at a rate beyond 20,000 a second a round is shorter. */
const MOST_ARRIVALS = 40_000;
const SMOKE_MOST_ARRIVALS = 1_000;

/**
 * How long a claim takes at a share of the rate that is the most this machine makes, measured by the same process beforehand. Claims
 * arrive at random instants, whether or not earlier ones are done, and their time counts from that instant.
 */
export function latencyCase(settings: Omit<ClaimerSettings, "rows">, percent: number, sizes: BenchSizes): BenchCase {
  return { name: settings.name, open: () => openLatencyCase(settings, percent, sizes) };
}

async function openLatencyCase(
  settings: Omit<ClaimerSettings, "rows">,
  percent: number,
  { smoke, rounds }: BenchSizes,
): Promise<OpenCase> {
  const peakClaims = smoke ? SMOKE_PEAK_CLAIMS : PEAK_CLAIMS;
  const mostArrivals = smoke ? SMOKE_MOST_ARRIVALS : MOST_ARRIVALS;
  const claimer = await openClaimer({ ...settings, rows: 2 * peakClaims + (rounds + 1) * mostArrivals });
  const peakPerSecond = await peakOf(claimer, peakClaims);
  const perSecond = (peakPerSecond * percent) / 100;
  const count = Math.max(1, Math.min(mostArrivals, Math.round((perSecond * (smoke ? SMOKE_ROUND_MS : ROUND_MS)) / 1_000)));
  const seen: Latencies[] = [];
  return {
    async round() {
      const latencies = await claimer.child.ask("arrive", { count, perSecond, seed: percent * 1_000 + seen.length });
      seen.push(latencies);
      return { done: count, ms: latencies.ms };
    },
    verify: () => claimer.verify(2 * peakClaims + seen.length * count),
    facts: async () => ({ atPerSecond: perSecond, peakPerSecond, ...factsOf(seen.slice(1)) }),
    close: () => claimer.close(),
  };
}

async function peakOf({ child }: Claimer, count: number): Promise<number> {
  await child.ask("claim", { count, concurrency: PEAK_CONCURRENCY });
  const ms = await child.ask("claim", { count, concurrency: PEAK_CONCURRENCY });
  return (count / ms) * 1_000;
}

/** Of all arrivals together: until the handler started, then with `pair` until the completion, `begun` until the program got to it. */
function factsOf(seen: readonly Latencies[]): Readonly<Record<string, number>> {
  const claim = sorted(seen.flatMap(({ claimMs }) => claimMs));
  const pair = sorted(seen.flatMap(({ pairMs }) => pairMs));
  const begun = sorted(seen.flatMap(({ begunMs }) => begunMs));
  return {
    p50Ms: percentile(claim, 50),
    p99Ms: percentile(claim, 99),
    p999Ms: percentile(claim, 99.9),
    maxMs: percentile(claim, 100),
    pairP50Ms: percentile(pair, 50),
    pairP99Ms: percentile(pair, 99),
    pairP999Ms: percentile(pair, 99.9),
    pairMaxMs: percentile(pair, 100),
    begunP50Ms: percentile(begun, 50),
    begunP99Ms: percentile(begun, 99),
  };
}

function sorted(values: readonly number[]): Float64Array {
  return Float64Array.from(values).sort();
}

/** The smallest value that as many percent of all do not exceed. */
function percentile(ascending: Float64Array, percent: number): number {
  return ascending[Math.max(0, Math.ceil((ascending.length * percent) / 100) - 1)] ?? Number.NaN;
}
