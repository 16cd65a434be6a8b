import { it } from "vitest";
import { systemRandom } from "../../../src/random.ts";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, openLock, SHORT_TTL_MS } from "./open-lock.ts";

/** L2, L3, L4 and L7 where leases run out by themselves. Each test waits, and can do so beside the others. */
export function expiry(create: CreateLock, { capabilities, tellsHolderTime }: LockTraits): void {
  /** What a server that counts in steps may take longer. */
  const graceMs = capabilities.ttlGranularityMs;

  it("L3 a lease that is not extended is free again after its ttl", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take({ ttlMs: SHORT_TTL_MS });

    await lock.elapse(2_000);
    const wasHeld = await lock.isHeld();
    await lock.elapse(2_100 + graceMs);

    expect(wasHeld).toBe(true);
    expect(await lock.isHeld()).toBe(false);
    expect(await lock.backend.extend(lease)).toBe(false);
    expect(await lock.backend.release(lease)).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L3 extend makes a lease last its whole ttl from then on", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take({ ttlMs: SHORT_TTL_MS });
    await lock.elapse(2_400);

    expect(await lock.backend.extend(lease)).toBe(true);

    await lock.elapse(1_700 + graceMs);
    expect(await lock.isHeld()).toBe(true);
    await lock.elapse(2_400);
    expect(await lock.isHeld()).toBe(false);
  });

  it("L2 extend by a non-owner is false and prolongs nothing", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take({ ttlMs: SHORT_TTL_MS });
    await lock.elapse(2_000);

    expect(await lock.backend.extend({ ...holder, owner: systemRandom.id() })).toBe(false);

    expect(await lock.isHeld()).toBe(true);
    await lock.elapse(2_100 + graceMs);
    expect(await lock.isHeld()).toBe(false);
  });

  it("L2 a lease that ran out takes nothing from the next holder", async ({ expect }) => {
    await using lock = await openLock(create);
    const old = await lock.take({ ttlMs: SHORT_TTL_MS });
    await lock.elapse(4_100 + graceMs);
    const next = await lock.take();

    expect(await lock.backend.extend(old)).toBe(false);
    expect(await lock.backend.release(old)).toBe(false);

    expect(await lock.backend.extend(next)).toBe(true);
  });

  const leastHintMs = tellsHolderTime ? 1 : 0;
  it("L4 the hint is no longer than what the holder has left, and then the key can be won", async ({ expect }) => {
    await using lock = await openLock(create);
    await lock.take({ ttlMs: SHORT_TTL_MS });
    await lock.elapse(2_000);

    const attempt = await lock.ask();

    const hint = attempt.lease === null ? attempt.retryAfterMs : Number.NaN;
    expect(hint).toBeGreaterThanOrEqual(leastHintMs);
    // A timer may be a moment early.
    expect(hint).toBeLessThanOrEqual(2_050 + graceMs);
    await lock.elapse((tellsHolderTime ? hint : 2_000) + 100 + graceMs);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L7 acquiring again with the same owner makes the lease last its whole ttl from then on", async ({ expect }) => {
    await using lock = await openLock(create);
    const { owner } = await lock.take({ ttlMs: SHORT_TTL_MS });
    await lock.elapse(2_400);

    await lock.ask({ owner, ttlMs: SHORT_TTL_MS });

    await lock.elapse(1_700 + graceMs);
    expect(await lock.isHeld()).toBe(true);
  });

  it("L3 extending many makes each of ours last its whole ttl from then on, and no other", async ({ expect }) => {
    await using lock = await openLock(create);
    const keys = Array.from({ length: 20 }, (_, index) => `${lock.key}${index}`);
    const leases = await Promise.all(keys.map((key) => lock.win(key, SHORT_TTL_MS)));
    await lock.elapse(2_400);

    const answers = await lock.extendAll(
      leases.map((lease, index) => (index % 2 === 0 ? lease : { ...lease, owner: systemRandom.id() })),
    );

    await lock.elapse(1_700 + graceMs);
    expect(answers).toEqual(keys.map((_, index) => index % 2 === 0));
    expect(await Promise.all(keys.map((key) => lock.isHeld(key)))).toEqual(answers);
  });
}
