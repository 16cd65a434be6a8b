import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { it } from "vitest";
import { type CutProxy, startCutProxy } from "../../support/cut-proxy.ts";
import { eventually } from "../../support/eventually.ts";
import { Holder } from "./holder.ts";
import type { ProductBed } from "./lock-products.ts";

/** Renewed after 2 s. */
const TTL_MS = 6_000;
/** Renewed after 3 s, and again after a silence that is longer than any call waits. */
const SILENCE_TTL_MS = 9_000;
const SILENCE_MS = 6_300;

/** The servers live; the connections of one client of theirs fail. Each test waits, and can do so beside the others. */
export function connectionFaults(bed: ProductBed): void {
  it("L6 a silence that is shorter than the ttl costs nothing", async ({ expect }) => {
    await using line = await proxiedHolder(bed, SILENCE_TTL_MS);
    const hold = await line.holder.hold(line.key);

    line.hang();
    await until(hold.lastKeptAtMs + SILENCE_MS);
    const asked = line.holder.callsSince(hold.wonAtMs);
    line.heal();
    await until(hold.wonAtMs + SILENCE_TTL_MS + 1_000);

    expect(asked).toBeGreaterThan(0);
    expect(hold.isAborted).toBe(false);
    expect(await line.holders()).toBe(1);
    expect(await hold.release()).toBe(true);
  });

  it("L3 a connection that falls silent for good aborts the holder before the server gives the key away", async ({
    expect,
  }) => {
    await using line = await proxiedHolder(bed);
    await using rival = await line.rival();
    const hold = await line.holder.hold(line.key);
    await hold.keptAfter(hold.wonAtMs);
    const winning = rival.hold(line.key, 60_000);

    line.hang();
    const abort = await hold.aborted();
    await Promise.race([winning, delay(TTL_MS)]);
    line.heal();
    const released = await hold.release();
    const won = await winning;

    expect(abort).toMatchObject({ beforeTtl: true });
    expect(hold.lock.signal.reason).toMatchObject({ code: "LEASE_LOST" });
    expect(won.wonAtMs).toBeGreaterThan(hold.abortedAtMs ?? Number.NaN);
    expect(released).toBe(false);
    expect(won.isAborted).toBe(false);
    expect(await line.holders()).toBe(1);
    await won.release();
  });

  const outcome = bed.product.capabilities.expiry === "ttl" ? "the lease is kept" : "the lease is kept or ends in time";
  it(`L3 L6 a connection that is cut and restored: ${outcome}, and keys can be won over it again`, async ({ expect }) => {
    await using line = await proxiedHolder(bed);
    const hold = await line.holder.hold(line.key);

    line.cut();
    await delay(1_000);
    line.heal();
    await eventually(() => hold.isAborted || performance.now() > hold.wonAtMs + 8_000, { timeoutMs: 20_000, what: "the end" });
    const wasAborted = hold.isAborted;

    if (bed.product.capabilities.expiry === "ttl") expect(wasAborted).toBe(false);
    if (wasAborted) expect(await hold.aborted()).toMatchObject({ beforeTtl: true });
    else expect(await line.holders()).toBe(1);
    expect(await hold.release()).toBe(!wasAborted);
    const again = await line.holder.hold(line.key, 30_000);
    expect(await line.holders()).toBe(1);
    expect(await again.release()).toBe(true);
    await eventually(async () => (await line.holders()) === 0, { what: "a free key" });
  });
}

/** A holder whose connections can fail, and its key. */
async function proxiedHolder(bed: ProductBed, ttlMs = TTL_MS) {
  const { product } = bed;
  const direct = await bed.urls();
  const proxies: readonly CutProxy[] = await Promise.all(direct.map(startCutProxy));
  const server = await bed.inspector();
  const key = `connection:${randomUUID()}`;
  const holder = await Holder.open(
    product,
    proxies.map(({ url }) => url),
    ttlMs,
  );
  return {
    key,
    holder,
    /** Somebody whose connections do not fail. */
    rival: () => Holder.open(product, direct, TTL_MS),
    holders: () => server.holders(key),
    hang: () => proxies.forEach((proxy) => void proxy.hang()),
    cut: () => proxies.forEach((proxy) => void proxy.cut()),
    heal: () => proxies.forEach((proxy) => void proxy.heal()),
    [Symbol.asyncDispose]: async () => {
      for (const proxy of proxies) proxy.heal();
      await holder[Symbol.asyncDispose]();
      await Promise.all(proxies.map((proxy) => proxy.close()));
    },
  };
}

/** Resolves at that instant of this process's monotonic clock. */
async function until(atMs: number): Promise<void> {
  await delay(Math.max(0, atMs - performance.now()));
}
