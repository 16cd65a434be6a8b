import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { systemRandom } from "../../src/random.ts";
import { type CreateLock, LONG_TTL_MS, openLock } from "./lock/open-lock.ts";

/** Whole seconds, for servers that count in them. */
const SHORT_TTL_MS = 2_000;

const AWKWARD_KEYS: readonly (readonly [what: string, key: string])[] = [
  ["colons", "exclaim:{voucher}:7:8"],
  ["slashes", "/a//b/"],
  ["dots", "../../etc/passwd"],
  ["braces", "{a}{b}}{"],
  ["blanks", " a b "],
  ["a newline", "a\r\nb\n"],
  ["quotes and a backslash", "a'b\"c\\d`$(e)%s?1*"],
  ["emoji", "🔒 Ärger ﷽ 👩‍👩‍👧"],
  ["10 kB", "k".repeat(10_240)],
];

/** Keys that a careless encoding could take for one another. */
const SIMILAR_KEYS = [
  "a:b",
  "a/b",
  "a.b",
  "a b",
  "a_b",
  "A:b",
  "a:b:",
  ":a:b",
  "a%3Ab",
  "a::b",
  "a:b\n",
  "a\\:b",
  "{a}:b",
  "a:{b}",
];

/** The rules L1 to L7 of the lock contract, for one back-end. `create` is called once a test. */
export function lockConformance(name: string, create: CreateLock): void {
  describe(`${name} keeps the lock contract`, () => {
    exclusion(create);
    ownership(create);
    keys(create);
    describe.concurrent("while time passes", () => expiry(create));
  });
}

function exclusion(create: CreateLock): void {
  it("L1 acquire of a free key wins, and the server holds the key", async ({ expect }) => {
    await using lock = await openLock(create);
    const owner = systemRandom.id();

    const attempt = await lock.backend.acquire(lock.key, { ttlMs: LONG_TTL_MS, owner });

    expect(attempt).toEqual({ lease: { key: lock.key, owner, ttlMs: LONG_TTL_MS } });
    expect(await lock.isHeld(lock.key)).toBe(true);
  });

  it("L1 acquire of a held key is refused, and the holder keeps it", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.win(lock.key);

    const attempt = await lock.attempt(lock.key);

    expect(attempt.lease).toBeNull();
    expect(await lock.backend.extend(holder)).toBe(true);
  });

  it("L1 L5 of 50 contenders at once exactly one wins, and the losers leave nothing behind", async ({ expect }) => {
    await using lock = await openLock(create);

    const attempts = await Promise.all(Array.from({ length: 50 }, () => lock.attempt(lock.key)));

    const leases = attempts.flatMap(({ lease }) => (lease === null ? [] : [lease]));
    expect(leases).toHaveLength(1);
    expect(await lock.isHeld(lock.key)).toBe(true);
    expect(await Promise.all(leases.map((lease) => lock.backend.release(lease)))).toEqual([true]);
    expect(await lock.isHeld(lock.key)).toBe(false);
    expect((await lock.attempt(lock.key)).lease).not.toBeNull();
  });

  it("L1 20 workers that increment an unguarded counter under the lock lose no increment", async ({ expect }) => {
    await using lock = await openLock(create);
    let counter = 0;
    const worker = async () => {
      for (let done = 0; done < 10; ) {
        const { lease } = await lock.attempt(lock.key);
        if (lease === null) {
          await setImmediate();
          continue;
        }
        const read = counter;
        await setImmediate();
        counter = read + 1;
        done += 1;
        await lock.backend.release(lease);
      }
    };

    await Promise.all(Array.from({ length: 20 }, worker));

    expect(counter).toBe(200);
  });

  it("L4 contention is a value whose hint is within the holder's ttl", async ({ expect }) => {
    await using lock = await openLock(create);
    await lock.win(lock.key);

    const attempt = await lock.attempt(lock.key);

    const hint = attempt.lease === null ? attempt.retryAfterMs : Number.NaN;
    expect(hint).toBeGreaterThanOrEqual(lock.backend.capabilities.expiry === "ttl" ? 1 : 0);
    expect(hint).toBeLessThanOrEqual(LONG_TTL_MS);
  });

  it("L7 acquiring again with the same owner is a success", async ({ expect }) => {
    await using lock = await openLock(create);
    const first = await lock.win(lock.key);

    const again = await lock.backend.acquire(lock.key, { ttlMs: LONG_TTL_MS, owner: first.owner });

    expect(again.lease).toEqual(first);
    expect((await lock.attempt(lock.key)).lease).toBeNull();
    expect(await lock.backend.release(first)).toBe(true);
    expect(await lock.isHeld(lock.key)).toBe(false);
  });
}

function ownership(create: CreateLock): void {
  it("L2 release by the owner frees the key for others", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.win(lock.key);

    expect(await lock.backend.release(lease)).toBe(true);

    expect(await lock.isHeld(lock.key)).toBe(false);
    expect((await lock.attempt(lock.key)).lease).not.toBeNull();
  });

  it("L2 release a second time is false and takes nothing from the next holder", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.win(lock.key);
    await lock.backend.release(lease);
    const next = await lock.win(lock.key);

    expect(await lock.backend.release(lease)).toBe(false);

    expect(await lock.isHeld(lock.key)).toBe(true);
    expect(await lock.backend.extend(next)).toBe(true);
  });

  it("L2 release of a key nobody holds is false", async ({ expect }) => {
    await using lock = await openLock(create);

    expect(await lock.backend.release({ key: lock.key, owner: systemRandom.id(), ttlMs: LONG_TTL_MS })).toBe(false);
  });

  it("L2 release by a non-owner changes nothing", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.win(lock.key);

    expect(await lock.backend.release({ ...holder, owner: systemRandom.id() })).toBe(false);

    expect(await lock.isHeld(lock.key)).toBe(true);
    expect(await lock.backend.extend(holder)).toBe(true);
  });

  it("L2 extend after release is false and does not bring the key back", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.win(lock.key);
    await lock.backend.release(lease);

    expect(await lock.backend.extend(lease)).toBe(false);

    expect(await lock.isHeld(lock.key)).toBe(false);
  });
}

function keys(create: CreateLock): void {
  it.for(AWKWARD_KEYS)("L1 a key with %s is a key like any other", async ([, awkward], { expect }) => {
    await using lock = await openLock(create);
    const key = `${lock.key}${awkward}`;

    const lease = await lock.win(key);

    expect(lease.key).toBe(key);
    expect(await lock.isHeld(key)).toBe(true);
    expect((await lock.attempt(key)).lease).toBeNull();
    expect(await lock.backend.extend(lease)).toBe(true);
    expect(await lock.backend.release(lease)).toBe(true);
    expect(await lock.isHeld(key)).toBe(false);
  });

  it("L1 keys that differ in one character never exclude one another", async ({ expect }) => {
    await using lock = await openLock(create);
    const keys = SIMILAR_KEYS.map((key) => lock.key + key);

    const leases = await Promise.all(keys.map((key) => lock.win(key)));

    expect(await Promise.all(leases.map((lease) => lock.backend.release(lease)))).toEqual(keys.map(() => true));
  });

  it("L1 1,000 keys are held at once", async ({ expect }) => {
    await using lock = await openLock(create);
    const keys = Array.from({ length: 1_000 }, (_, index) => `${lock.key}${index}`);

    const leases = await Promise.all(keys.map((key) => lock.win(key)));

    const again = await Promise.all(keys.map((key) => lock.attempt(key)));
    expect(again.filter(({ lease }) => lease !== null)).toEqual([]);
    const released = await Promise.all(leases.map((lease) => lock.backend.release(lease)));
    expect(released.filter((wasOurs) => !wasOurs)).toEqual([]);
  });
}

function expiry(create: CreateLock): void {
  it("L3 a lease that is not extended is free again after its ttl", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    const lease = await lock.win(lock.key, SHORT_TTL_MS);

    await lock.elapse(2_100);

    expect(await lock.isHeld(lock.key)).toBe(false);
    expect(await lock.backend.extend(lease)).toBe(false);
    expect(await lock.backend.release(lease)).toBe(false);
    expect((await lock.attempt(lock.key)).lease).not.toBeNull();
  });

  it("L3 extend makes a lease last its whole ttl from then on", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    const lease = await lock.win(lock.key, SHORT_TTL_MS);
    await lock.elapse(1_200);

    expect(await lock.backend.extend(lease)).toBe(true);

    await lock.elapse(1_200);
    expect(await lock.isHeld(lock.key)).toBe(true);
    await lock.elapse(900);
    expect(await lock.isHeld(lock.key)).toBe(false);
  });

  it("L2 extend by a non-owner is false and prolongs nothing", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    const holder = await lock.win(lock.key, SHORT_TTL_MS);
    await lock.elapse(1_000);

    expect(await lock.backend.extend({ ...holder, owner: systemRandom.id() })).toBe(false);

    expect(await lock.isHeld(lock.key)).toBe(true);
    await lock.elapse(1_100);
    expect(await lock.isHeld(lock.key)).toBe(false);
  });

  it("L2 a lease that ran out takes nothing from the next holder", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    const old = await lock.win(lock.key, SHORT_TTL_MS);
    await lock.elapse(2_100);
    const next = await lock.win(lock.key);

    expect(await lock.backend.extend(old)).toBe(false);
    expect(await lock.backend.release(old)).toBe(false);

    expect(await lock.backend.extend(next)).toBe(true);
  });

  it("L4 the hint is what the holder has left, and after it the key can be won", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    await lock.win(lock.key, SHORT_TTL_MS);
    await lock.elapse(1_000);

    const attempt = await lock.attempt(lock.key);

    const hint = attempt.lease === null ? attempt.retryAfterMs : Number.NaN;
    expect(hint).toBeGreaterThanOrEqual(1);
    expect(hint).toBeLessThanOrEqual(1_000 + lock.backend.capabilities.ttlGranularityMs);
    await lock.elapse(hint + 50);
    expect((await lock.attempt(lock.key)).lease).not.toBeNull();
  });

  it("L7 acquiring again with the same owner makes the lease last its whole ttl from then on", async (context) => {
    const { expect } = context;
    await using lock = await openLock(create, context);
    const { owner } = await lock.win(lock.key, SHORT_TTL_MS);
    await lock.elapse(1_200);

    await lock.backend.acquire(lock.key, { ttlMs: SHORT_TTL_MS, owner });

    await lock.elapse(1_200);
    expect(await lock.isHeld(lock.key)).toBe(true);
  });
}
