import type { Arrivals, Latencies } from "./claimer-calls.ts";
import type { VoucherClaims } from "./voucher-claims.ts";

/**
 * Begins claims at instants that were drawn beforehand, however many are under way, and counts each one's time from its instant: a
 * stall hits all that should have begun meanwhile.
 */
export async function playArrivals(claims: VoucherClaims, { count, perSecond, seed }: Arrivals): Promise<Latencies> {
  const atMs = instants(count, perSecond, seed);
  const [begunMs, claimMs, pairMs] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)];
  const startMs = performance.now();
  const sinceMs = (index: number): number => performance.now() - startMs - (atMs[index] ?? 0);
  const claim = async (index: number): Promise<void> => {
    begunMs[index] = sinceMs(index);
    await claims.claim(() => {
      claimMs[index] = sinceMs(index);
    });
    pairMs[index] = sinceMs(index);
  };

  const underWay: Promise<void>[] = [];
  while (underWay.length < count) {
    while (underWay.length < count && sinceMs(underWay.length) >= 0) underWay.push(claim(underWay.length));
    if (underWay.length < count) await new Promise((resolve) => setTimeout(resolve, -sinceMs(underWay.length)));
  }
  await Promise.all(underWay);
  return { ms: performance.now() - startMs, begunMs: [...begunMs], claimMs: [...claimMs], pairMs: [...pairMs] };
}

/** In ms from the start, ascending: the gaps are exponentially distributed. */
function instants(count: number, perSecond: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  const at = new Float64Array(count);
  let lastMs = 0;
  for (let index = 0; index < count; index += 1) {
    lastMs += (-Math.log(1 - random()) / perSecond) * 1_000;
    at[index] = lastMs;
  }
  return at;
}

/** Numbers in [0, 1): a Weyl sequence whose steps are scrambled by two multiplications. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}
