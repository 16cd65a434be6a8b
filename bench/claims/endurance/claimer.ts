/** One process that claims rows through the engine, without a queue: see `claimer-calls.ts`. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { serve } from "../../child.ts";
import { playArrivals } from "./arrivals.ts";
import type { ClaimerCalls } from "./claimer-calls.ts";
import { claimMany, openVoucherClaims, type VoucherClaims } from "./voucher-claims.ts";

let opened: VoucherClaims | undefined;

serve<ClaimerCalls>({
  async begin(place) {
    opened = openVoucherClaims(place);
  },
  claim: ({ count, concurrency }) => claimMany(begun(), count, concurrency),
  arrive: (arrivals) => playArrivals(begun(), arrivals),
  async memory() {
    // The second one takes what finalizers of the first let go.
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    return { heapBytes: process.memoryUsage().heapUsed, rssBytes: process.memoryUsage.rss() };
  },
  async close() {
    await begun().close();
  },
});

function begun(): VoucherClaims {
  if (opened === undefined) throw new Error("begin comes first");
  return opened;
}

/** As `--expose-gc` makes it, in the contexts that are made from then on. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
}
