import { describe, expect, it } from "vitest";
import type { Random } from "../../src/random.ts";
import { type OpenHolding, openHolding, stateOf, TTL_MS } from "./open-holding.ts";

const CROWD = 100;
const HOLD_MS = 200;

// Planted: no line in the process; a line that wakes everybody; a line that is not passed on by a release, by a waiter that leaves, or by
// one that wins; wake-ups that are not spread. Each made a test here fail.
describe("a crowd that waits for one key", () => {
  // The next in the line asks in vain, and once more when its watch stands; without wake-ups, while the holder works.
  it.each([
    ["plain", 1, 6],
    ["push", 1, 4],
    ["push", 4, 7],
  ] as const)("L10 makes a bounded number of calls for each release (%s, %i process(es))", async (kind, processes, bound) => {
    const { turns, wins } = await turnsOf(kind, processes);

    expect(wins).toBe(CROWD);
    expect(Math.max(...turns)).toBeLessThanOrEqual(bound);
  });

  it("L10 in a line makes one call for each release, beside those that keep its places", async () => {
    const { handovers, turns, wins } = await turnsOf("line", 1);

    expect(wins).toBe(CROWD);
    expect(handovers.filter((asks) => asks === 1).length).toBeGreaterThan(CROWD * 0.7);
    // A hundred places asked for every 500 to 1,000 ms, for 200 ms.
    expect(Math.max(...turns)).toBeLessThanOrEqual(45);
  });

  it.each([
    ["plain", 25],
    ["push", 5],
  ] as const)("of one process asks as one while nothing changes (%s)", async (kind, asksInTenSeconds) => {
    const { acquire, clock, lock } = openHolding({ kind, random: seeded(1) });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "other" });
    for (let index = 0; index < CROWD; index += 1) void acquire("k", { waitMs: 60_000 });
    await clock.advance(1_000);
    const asks = lock.count("acquire");

    await clock.advance(10_000);

    expect(lock.count("acquire") - asks).toBeLessThanOrEqual(asksInTenSeconds);
  });

  it("in a line asks only as often as keeps its places, and never all at the same moment", async () => {
    const { acquire, clock, lock } = openHolding({ kind: "line", random: seeded(2) });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "other" });
    for (let index = 0; index < CROWD; index += 1) void acquire("k", { waitMs: 60_000 });
    await clock.advance(5_000);
    lock.calls.length = 0;

    await clock.advance(10_000);

    const perMoment = new Map<number, number>();
    for (const { atMs } of lock.calls) perMoment.set(Math.floor(atMs / 10), (perMoment.get(Math.floor(atMs / 10)) ?? 0) + 1);
    expect(lock.calls.length).toBeLessThanOrEqual(CROWD * 10 * 2);
    expect(Math.max(...perMoment.values())).toBeLessThanOrEqual(CROWD / 8);
  });

  it("is not woken by wake-ups at one moment: processes spread over 10 ms", async () => {
    const first = openHolding({ kind: "push", random: seeded(3) });
    const processes = [first, ...Array.from({ length: 19 }, () => first.other())];
    const holder = await first.other().hold("k");
    for (const { acquire } of processes) void acquire("k", { waitMs: 60_000 });
    await first.clock.advance(1_000);
    first.lock.calls.length = 0;
    const releasedAtMs = first.clock.now();

    await holder.release();
    await first.clock.advance(20);

    const afterMs = first.lock.calls.filter(({ name }) => name === "acquire").map(({ atMs }) => atMs - releasedAtMs);
    expect(afterMs).toHaveLength(20);
    expect(new Set(afterMs).size).toBe(20);
    expect(Math.max(...afterMs)).toBeLessThan(10);
  });

  it.each(["plain", "push", "line"] as const)("of one process is served in the order in which it came (%s)", async (kind) => {
    const { acquire, clock, hold } = openHolding({ kind, random: seeded(4) });
    const order: number[] = [];
    const holder = await hold("k");
    const waiting = Array.from({ length: 10 }, async (_, index) => {
      const lock = await acquire("k", { waitMs: 60_000 });
      order.push(index);
      await (lock.status === "held" && lock.release());
    });

    await clock.advance(1_000);
    await holder.release();
    await clock.advance(1_000);
    await Promise.all(waiting);

    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("L9 of two processes is served in the order in which it came, where the server keeps a line", async () => {
    const first = openHolding({ kind: "line", random: seeded(5) });
    const second = first.other();
    const holder = await first.hold("k");
    const order: number[] = [];
    for (let index = 0; index < 20; index += 1) {
      const { acquire } = index % 3 === 0 ? second : first;
      void acquire("k", { waitMs: 60_000 }).then(async (lock) => {
        order.push(index);
        await (lock.status === "held" && lock.release());
      });
      await first.clock.advance(1);
    }

    await first.clock.advance(10_000);
    await holder.release();
    await first.clock.advance(1_000);

    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it("L8 of readers wins at once when the writer is gone, not one after another", async () => {
    const { acquire, clock, lock } = openHolding({
      kind: "push",
      random: seeded(6),
      replace: (inner) => ({
        async acquire(key, options) {
          await new Promise<void>((resolve) => void clock.after(20, resolve));
          return inner.acquire(key, options);
        },
      }),
    });
    const writing = lock.acquire("k", { ttlMs: 86_400_000, owner: "writer" });
    await clock.advance(20);
    await writing;
    const readers = Array.from({ length: 20 }, () => acquire("k", { waitMs: 60_000, mode: "shared" }));
    await clock.advance(1_000);

    await lock.release({ key: "k", owner: "writer", ttlMs: 86_400_000 });
    await clock.advance(40);

    expect((await Promise.all(readers)).map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => "held"));
  });

  it("is passed the key within 10 ms by a holder of the same process, without the server's help", async () => {
    const { acquire, clock, hold } = openHolding({ kind: "plain", random: seeded(9) });
    const holder = await hold("k");
    const waiting = acquire("k", { waitMs: 60_000 });
    await clock.advance(10_000);

    await holder.release();
    await clock.advance(10);

    expect(await stateOf(waiting)).toBe("held");
  });

  it("of which the rear leaves makes no call", async () => {
    const { acquire, clock, hold, lock } = openHolding({ kind: "push", random: seeded(10) });
    const controller = new AbortController();
    await hold("k");
    void acquire("k", { waitMs: 60_000 });
    await clock.advance(100);
    const rear = Array.from({ length: CROWD }, () =>
      acquire("k", { waitMs: 60_000, signal: controller.signal }).catch(() => {}),
    );
    await clock.advance(100);
    const asks = lock.count("acquire");

    controller.abort();
    await clock.advance(20);
    await Promise.all(rear);

    expect(lock.count("acquire") - asks).toBe(0);
  });

  it("is passed the key by a waiter that leaves just when it was woken", async () => {
    const { acquire, clock, hold } = openHolding({ kind: "plain", random: seeded(7) });
    const controller = new AbortController();
    const holder = await hold("k");
    const first = acquire("k", { waitMs: 60_000, signal: controller.signal }).catch(() => "aborted");
    const second = acquire("k", { waitMs: 60_000 });
    await clock.advance(1_000);

    await holder.release();
    controller.abort();
    await clock.advance(20);

    expect(await first).toBe("aborted");
    expect((await second).status).toBe("held");
  });
});

/**
 * Everybody waits, wins once, holds for a while and gives back.
 * Returns how many asks there were from each win to the next, and from each release to the win that it allowed.
 */
async function turnsOf(kind: "plain" | "push" | "line", processes: number) {
  const first = openHolding({ kind, random: seeded(8) });
  const { clock, lock } = first;
  const all: OpenHolding[] = [first, ...Array.from({ length: processes - 1 }, () => first.other())];
  const holder = await first.other().hold("k");
  const turns: number[] = [];
  const handovers: number[] = [];
  let wins = 0;
  let asksAtWin = 0;
  let asksAtRelease = 0;
  const waiting = Array.from({ length: CROWD }, async (_, index) => {
    const won = await all[index % processes]?.hold("k", { waitMs: 600_000 });
    wins += 1;
    turns.push(lock.count("acquire") - asksAtWin);
    handovers.push(lock.count("acquire") - asksAtRelease);
    asksAtWin = lock.count("acquire");
    await new Promise<void>((resolve) => void clock.after(HOLD_MS, resolve));
    asksAtRelease = lock.count("acquire");
    await won?.release();
  });
  await clock.advance(TTL_MS);
  asksAtWin = lock.count("acquire");
  asksAtRelease = asksAtWin;
  await holder.release();
  for (let step = 0; step < 4_000 && wins < CROWD; step += 1) await clock.advance(HOLD_MS);
  await clock.advance(HOLD_MS);
  await Promise.all(waiting);
  return { turns, handovers, wins };
}

/** Mulberry32: small, and the same numbers on every run. */
function seeded(seed: number): Random {
  let state = seed;
  let ids = 0;
  return {
    id() {
      ids += 1;
      return `owner-${seed}-${ids}`;
    },
    fraction() {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}
