import { it } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { type CreateLock, openLock } from "./open-lock.ts";

const AWKWARD_KEYS: readonly (readonly [what: string, key: string])[] = [
  ["colons", "exclaim:{voucher}:7:8"],
  ["slashes", "/a//b/"],
  ["dots", "../../etc/passwd"],
  ["a dot alone", "/."],
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
  "ä",
  "a\u0308",
  `${"k".repeat(300)}a`,
  `${"k".repeat(300)}b`,
];

/** Keys of every kind, and many of them. */
export function awkwardKeys(create: CreateLock): void {
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

  it("L1 1,000 keys are held, extended and given back at once", async ({ expect }) => {
    await using lock = await openLock(create);
    const keys = Array.from({ length: 1_000 }, (_, index) => `${lock.key}${index}`);

    const leases = await inBatches(keys, (key) => lock.win(key));
    const again = await inBatches(keys, (key) => lock.attempt(key));
    // All at once; whoever renews leases asks again, too, when a busy server has not answered in time.
    const extended = await eventually(() => lock.extendAll(leases), {
      timeoutMs: 20_000,
      what: "the extension of 1,000 leases",
    });
    const released = await inBatches(leases, (lease) => lock.backend.release(lease));

    expect(again.filter(({ lease }) => lease !== null)).toEqual([]);
    expect(extended.filter(Boolean)).toHaveLength(1_000);
    expect(released.filter(Boolean)).toHaveLength(1_000);
  });
}

/** Fifty at a time: how many calls a server answers within one call's time limit is not what is tested. */
async function inBatches<T, R>(items: readonly T[], call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += 50) {
    results.push(...(await Promise.all(items.slice(start, start + 50).map(call))));
  }
  return results;
}
