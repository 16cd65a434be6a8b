import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { it } from "vitest";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, LONG_TTL_MS, openLock, SHORT_TTL_MS } from "./open-lock.ts";

/** L8, and what L2, L4 and L7 mean for shared leases. */
export function sharedMode(create: CreateLock): void {
  it("L8 shared leases are held together, say that they are shared, and exclude an exclusive one", async ({ expect }) => {
    await using lock = await openLock(create);

    const attempts = await Promise.all(
      Array.from({ length: 20 }, (_, index) => lock.ask({ owner: `reader${index}`, mode: "shared" })),
    );

    expect(attempts).toEqual(
      Array.from({ length: 20 }, (_, index) => ({
        lease: { key: lock.key, owner: `reader${index}`, ttlMs: LONG_TTL_MS, mode: "shared" },
      })),
    );
    expect(await lock.isHeld()).toBe(true);
    expect((await lock.ask()).lease).toBeNull();
  });

  it("L8 an exclusive lease excludes shared ones until it is given back", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();

    const during = await lock.ask({ mode: "shared" });
    await lock.backend.release(holder);
    const after = await lock.ask({ mode: "shared" });

    expect(during.lease).toBeNull();
    expect(after.lease).not.toBeNull();
  });

  it("L8 an exclusive lease is won only after the last shared one was given back", async ({ expect }) => {
    await using lock = await openLock(create);
    const readers = await Promise.all([1, 2, 3].map(() => lock.take({ mode: "shared" })));

    const wins: boolean[] = [];
    for (const reader of readers) {
      wins.push((await lock.ask()).lease !== null);
      await lock.backend.release(reader);
    }
    wins.push((await lock.ask()).lease !== null);

    expect(wins).toEqual([false, false, false, true]);
  });

  it("L2 L8 giving back one shared lease, twice or for somebody who has none, leaves the others alone", async ({ expect }) => {
    await using lock = await openLock(create);
    const first = await lock.take({ mode: "shared" });
    const second = await lock.take({ mode: "shared" });

    const released = [
      await lock.backend.release(first),
      await lock.backend.release(first),
      await lock.backend.release({ ...first, owner: "nobody" }),
    ];

    expect(released).toEqual([true, false, false]);
    expect(await lock.backend.extend(first)).toBe(false);
    expect(await lock.backend.extend(second)).toBe(true);
    expect((await lock.ask()).lease).toBeNull();
    expect(await lock.backend.release(second)).toBe(true);
    expect(await lock.isHeld()).toBe(false);
  });

  it("L7 L8 asking again for a shared lease is a success, and one release ends it", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take({ owner: "reader", mode: "shared" });

    const again = await lock.ask({ owner: "reader", mode: "shared" });

    expect(again).toEqual({ lease });
    expect(await lock.backend.release(lease)).toBe(true);
    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L8 readers under shared leases never see the half-done work of a writer under an exclusive one", async ({ expect }) => {
    await using lock = await openLock(create);
    const account = { left: 0, right: 0 };
    const torn: string[] = [];
    const under = async (mode: "shared" | "exclusive", work: () => Promise<void>) => {
      for (let done = 0; done < 10; ) {
        const { lease } = await lock.ask({ mode });
        if (lease === null) {
          await delay(Math.random() * 10);
          continue;
        }
        await work();
        done += 1;
        await lock.backend.release(lease);
      }
    };
    const write = async () => {
      const { left } = account;
      await setImmediate();
      account.left = left + 1;
      await setImmediate();
      account.right = left + 1;
    };
    const read = async () => {
      const before = account.left;
      await setImmediate();
      if (account.left !== before || account.right !== before) torn.push(`${before} ${account.left} ${account.right}`);
    };

    await Promise.all([1, 2].flatMap(() => [under("exclusive", write), under("shared", read), under("shared", read)]));

    expect(torn).toEqual([]);
    expect(account).toEqual({ left: 20, right: 20 });
  });
}

/** L8 where leases run out by themselves. Each test waits, and can do so beside the others. */
export function sharedExpiry(create: CreateLock, { capabilities }: LockTraits): void {
  it("L3 L8 a shared lease that is not extended runs out and takes no other with it", async ({ expect }) => {
    await using lock = await openLock(create);
    const left = await lock.take({ mode: "shared", ttlMs: SHORT_TTL_MS });
    const kept = await lock.take({ mode: "shared", ttlMs: SHORT_TTL_MS });
    await lock.elapse(2_400);
    await lock.backend.extend(kept);

    await lock.elapse(1_700 + capabilities.ttlGranularityMs);
    const afterOne = [await lock.backend.extend(left), (await lock.ask()).lease, await lock.isHeld()];
    await lock.elapse(2_400 + capabilities.ttlGranularityMs);
    const afterBoth = (await lock.ask()).lease;

    expect(afterOne).toEqual([false, null, true]);
    expect(afterBoth).not.toBeNull();
  });
}

/** L8 where there is no shared mode. */
export function exclusiveAlone(create: CreateLock): void {
  it("L8 a shared lease is refused as a wrong setting, and nothing is held", async ({ expect }) => {
    await using lock = await openLock(create);

    await expect(lock.ask({ mode: "shared" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });

    expect(await lock.isHeld()).toBe(false);
  });
}
