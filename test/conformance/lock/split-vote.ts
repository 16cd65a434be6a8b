import { randomUUID } from "node:crypto";
import { it } from "vitest";
import { startCutProxy } from "../../support/cut-proxy.ts";
import { eventually } from "../../support/eventually.ts";
import { Holder } from "./holder.ts";
import type { LockProduct } from "./lock-product.ts";

/** Too few for each to get a majority even of five nodes. */
const CONTENDERS = 3;
const TTL_MS = 20_000;
/** Well below the ttl, which is when votes that somebody keeps would run out. */
const SOON_MS = 5_000;

/** Contenders that each get a part of the votes of independent nodes. */
export function splitVote(product: LockProduct, urls: () => readonly string[]): void {
  it.sequential("L1 L5 a split vote ends soon with one winner, and nobody keeps the votes it got in vain", async ({
    expect,
  }) => {
    const key = `split:${randomUUID()}`;
    const nodes = await Promise.all(urls().map((url) => product.inspect([url])));
    const all = await product.inspect(urls());
    const votes = async () => (await Promise.all(nodes.map((node) => node.holders(key)))).filter((count) => count > 0).length;
    const parties = await Promise.all(Array.from({ length: CONTENDERS }, (_, index) => openParty(product, urls(), index)));

    // At first each reaches some nodes alone, and its votes there wait for those of the others.
    for (const party of parties) party.partOff();
    const startedAtMs = performance.now();
    const holding = parties.map(({ holder }) => holder.hold(key, TTL_MS));
    await eventually(async () => (await votes()) === nodes.length, { what: "a vote on each node" });
    const majorityOfOne = await all.holders(key);
    for (const party of parties) party.join();
    let holdersNow = 0;
    const overlaps: number[] = [];
    const holds = await Promise.all(
      holding.map(async (won) => {
        const hold = await won;
        holdersNow += 1;
        if (holdersNow > 1) overlaps.push(holdersNow);
        await all.holders(key);
        holdersNow -= 1;
        await hold.release();
        return hold;
      }),
    );
    await eventually(async () => (await votes()) === 0, { what: "the return of all votes" });

    await Promise.all([...parties.map((party) => party.close()), ...nodes.map((node) => node.close()), all.close()]);
    expect(majorityOfOne).toBe(0);
    expect(overlaps).toEqual([]);
    expect(Math.min(...holds.map(({ wonAtMs }) => wonAtMs)) - startedAtMs).toBeLessThan(SOON_MS);
  });
}

/** A contender whose connections can be parted from all nodes but its own. */
async function openParty(product: LockProduct, urls: readonly string[], index: number) {
  const proxies = await Promise.all(urls.map((url) => startCutProxy(url)));
  const others = proxies.filter((_, node) => node % CONTENDERS !== index);
  const holder = await Holder.open(
    product,
    proxies.map(({ url }) => url),
    TTL_MS,
  );
  return {
    holder,
    partOff: () => others.forEach((proxy) => void proxy.hang()),
    join: () => others.forEach((proxy) => void proxy.heal()),
    close: async () => {
      await holder[Symbol.asyncDispose]();
      await Promise.all(proxies.map((proxy) => proxy.close()));
    },
  };
}
