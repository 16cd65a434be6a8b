import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { it } from "vitest";
import { systemRandom } from "../../../src/random.ts";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, LONG_TTL_MS, openLock } from "./open-lock.ts";

/** L1, L4, L5 and L7 as far as no time needs to pass. */
export function exclusion(create: CreateLock, traits: Partial<LockTraits> = {}): void {
  it("L1 acquire of a free key wins, and the server holds the key", async ({ expect }) => {
    await using lock = await openLock(create);
    const owner = systemRandom.id();

    const attempt = await lock.ask({ owner });

    expect(attempt).toEqual({ lease: { key: lock.key, owner, ttlMs: LONG_TTL_MS } });
    expect(await lock.isHeld()).toBe(true);
  });

  it("L1 acquire of a held key is refused, and the holder keeps it", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();

    const attempt = await lock.ask();

    expect(attempt.lease).toBeNull();
    expect(await lock.backend.extend(holder)).toBe(true);
  });

  it("L1 L5 of 50 contenders at once exactly one wins, and the losers leave nothing behind", async ({ expect }) => {
    await using lock = await openLock(create);

    const attempts = await Promise.all(Array.from({ length: 50 }, () => lock.ask()));

    const leases = attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
    expect(leases).toHaveLength(1);
    expect(await lock.isHeld()).toBe(true);
    expect(await Promise.all(leases.map((lease) => lock.backend.release(lease)))).toEqual([true]);
    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L1 10 workers that increment an unguarded counter under the lock lose no increment", async ({ expect }) => {
    await using lock = await openLock(create);
    let counter = 0;
    const worker = async () => {
      for (let done = 0; done < 10; ) {
        const { lease } = await lock.ask();
        if (lease === null) {
          await delay(Math.random() * 10);
          continue;
        }
        const read = counter;
        await setImmediate();
        counter = read + 1;
        done += 1;
        await lock.backend.release(lease);
      }
    };

    await Promise.all(Array.from({ length: 10 }, worker));

    expect(counter).toBe(100);
  });

  const leastHintMs = traits.tellsHolderTime === true ? 1 : 0;
  it(`L4 contention is a value whose hint is from ${leastHintMs} ms to the holder's ttl`, async ({ expect }) => {
    await using lock = await openLock(create);
    await lock.take();

    const attempt = await lock.ask();

    const hint = attempt.lease === null ? attempt.retryAfterMs : Number.NaN;
    expect(hint).toBeGreaterThanOrEqual(leastHintMs);
    expect(hint).toBeLessThanOrEqual(LONG_TTL_MS + (traits.capabilities?.ttlGranularityMs ?? 0));
  });

  it("L7 acquiring again with the same owner is a success", async ({ expect }) => {
    await using lock = await openLock(create);
    const first = await lock.take();

    const again = await lock.ask({ owner: first.owner });

    expect(again.lease).toEqual(first);
    expect((await lock.ask()).lease).toBeNull();
    expect(await lock.backend.release(first)).toBe(true);
    expect(await lock.isHeld()).toBe(false);
  });
}
