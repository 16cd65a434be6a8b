import type { BenchCase, BenchSizes, OpenCase } from "../bench-case.ts";
import type { Memory } from "./claimer-calls.ts";
import { type ClaimerSettings, openClaimer } from "./open-claimer.ts";

/** As many as a process that claims a dozen a second makes in 24 hours. */
const CLAIMS = 1_000_000;
const SMOKE_CLAIMS = 5_000;
const CONCURRENCY = 100;
/** The heap is looked at after each of as many equal parts; the first one warms up. */
const PARTS = 10;
/** How far the heap at the end may be above that after the warm-up. */
const LEEWAY = { share: 0.1, bytes: 5_000_000 };

/** A day's claims in one process, one after the other without a pause: its heap must stay as it is after the warm-up. */
export function memoryCase(settings: Omit<ClaimerSettings, "rows">, sizes: BenchSizes): BenchCase {
  return { name: settings.name, open: () => openMemoryCase(settings, sizes) };
}

async function openMemoryCase(settings: Omit<ClaimerSettings, "rows">, sizes: BenchSizes): Promise<OpenCase> {
  const claims = sizes.smoke ? SMOKE_CLAIMS : CLAIMS;
  const perPart = claims / PARTS;
  const perRound = Math.ceil(claims / (sizes.rounds + 1));
  const claimer = await openClaimer({ ...settings, rows: claims });
  const seen: Memory[] = [];
  let made = 0;
  return {
    async round() {
      const last = Math.min(claims, made + perRound);
      let [done, ms] = [0, 0];
      while (made < last) {
        const partEnd = (seen.length + 1) * perPart;
        const count = Math.min(last, partEnd) - made;
        ms += await claimer.child.ask("claim", { count, concurrency: CONCURRENCY });
        made += count;
        done += count;
        // Nothing is under way now, and the clock stands.
        if (made === partEnd) seen.push(await claimer.child.ask("memory", undefined));
      }
      return { done, ms };
    },
    async verify() {
      await claimer.verify(made);
      assertFlat(seen);
    },
    facts: async () => factsOf(seen, perPart),
    close: () => claimer.close(),
  };
}

function assertFlat(seen: readonly Memory[]): void {
  const [warm, end] = [heapAt(seen, 0), heapAt(seen, seen.length - 1)];
  if (end <= warm * (1 + LEEWAY.share) + LEEWAY.bytes) return;
  const course = seen.map(({ heapBytes }) => megabytes(heapBytes).toFixed(1)).join(", ");
  throw new Error(`the heap grew: ${course} MB after each tenth of the claims`);
}

function factsOf(seen: readonly Memory[], perPart: number): Readonly<Record<string, number>> {
  const [warm, end] = [heapAt(seen, 0), heapAt(seen, seen.length - 1)];
  const parts = seen.map(({ heapBytes }, index) => [`heapMbAt${(100 / PARTS) * (index + 1)}Percent`, megabytes(heapBytes)]);
  return {
    heapMbAfterWarmUp: megabytes(warm),
    heapMbAtEnd: megabytes(end),
    rssMbAtEnd: megabytes(seen.at(-1)?.rssBytes ?? Number.NaN),
    growthBytesPerClaim: (end - warm) / (perPart * (seen.length - 1)),
    ...Object.fromEntries(parts),
  };
}

function heapAt(seen: readonly Memory[], index: number): number {
  return seen[index]?.heapBytes ?? Number.NaN;
}

function megabytes(bytes: number): number {
  return bytes / 1e6;
}
