import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { thrownCode } from "../claim/engine-in-memory.ts";
import { settle } from "../support/manual-clock.ts";
import { openHolding, TTL_MS } from "./open-holding.ts";

const NO_QUORUM = new ExclaimError("LOCK_UNREACHABLE", "no quorum");

// Planted: a deadline counted from the answer; one without a margin; assertHeld() by the signal alone; a lost lock that is renewed on;
// extend() for each lock where the server takes many; one that hangs and keeps the answers of others back. Each made a test here fail.
describe("a held lock", () => {
  it("is one object for as long as it is renewed", async () => {
    const { hold, clock, lock } = openHolding();
    const held = await hold("k");
    const { signal } = held;

    await clock.advance(TTL_MS * 100);

    expect([held.signal === signal, signal.aborted, await lock.isTaken("k")]).toEqual([true, false, true]);
    expect(held.assertHeld()).toBeUndefined();
    expect(lock.count("extend")).toBe(300);
  });

  it("aborts before the server could give the key away, when renewals fail", async () => {
    const { hold, clock, lock, events } = openHolding({ replace: () => ({ extend: () => Promise.reject(NO_QUORUM) }) });
    const told: unknown[] = [];
    events.on("lock:lost", ({ keys, reason }) => told.push([keys, reason.code]));
    const held = await hold("k");
    let takenAtAbort: Promise<boolean> | undefined;
    held.signal.addEventListener("abort", () => {
      takenAtAbort = lock.isTaken("k");
    });

    await clock.advance(2_939);
    const before = held.signal.aborted;
    await clock.advance(1);

    expect([before, held.signal.aborted, await takenAtAbort]).toEqual([false, true, true]);
    expect(held.signal.reason).toMatchObject({ code: "LEASE_LOST" });
    expect(told).toEqual([[["k"], "LEASE_LOST"]]);
  });

  it("aborts before the server could give the key away, when renewals hang", async () => {
    const { hold, clock, lock } = openHolding({ replace: () => ({ extend: () => new Promise<never>(() => {}) }) });
    const held = await hold("k");

    await clock.advance(2_940);

    expect([held.signal.aborted, await lock.isTaken("k")]).toEqual([true, true]);
  });

  it("counts its deadline from when the call that won it was sent", async () => {
    const { acquire, clock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          const attempt = await inner.acquire(key, options);
          await new Promise<void>((resolve) => void clock.after(1_500, resolve));
          return attempt;
        },
        extend: () => Promise.reject(NO_QUORUM),
      }),
    });
    const winning = acquire("k");
    await clock.advance(1_500);
    const held = await winning;

    await clock.advance(1_439);
    const before = "signal" in held && held.signal.aborted;
    await clock.advance(1);

    expect([before, "signal" in held && held.signal.aborted]).toEqual([false, true]);
  });

  it("aborts at once when the server says that it is not ours, and stays dead", async () => {
    let isOurs = false;
    const { hold, clock, lock } = openHolding({ replace: () => ({ extend: async () => isOurs }) });
    const held = await hold("k");
    await clock.advance(TTL_MS / 3);
    const atOnce = held.signal.aborted;

    isOurs = true;
    await clock.advance(TTL_MS * 10);

    expect([atOnce, thrownCode(() => held.assertHeld()), lock.count("extend")]).toEqual([true, "LEASE_LOST", 1]);
    expect(held.signal.reason).toMatchObject({ message: 'the lock on "k" is no longer ours' });
  });

  it("is over when the clock says so, though a stalled event loop has fired no timer", async () => {
    const { hold, clock, events } = openHolding();
    const told: unknown[] = [];
    events.on("lock:lost", ({ keys }) => told.push(keys));
    const held = await hold("k");

    clock.stall(2_939);
    const before = thrownCode(() => held.assertHeld());
    clock.stall(1);
    const codes = [held.signal.aborted, thrownCode(() => held.assertHeld()), thrownCode(() => held.assertHeld())];

    expect([before, ...codes]).toEqual([undefined, false, "LEASE_LOST", "LEASE_LOST"]);
    expect([held.signal.aborted, told]).toEqual([true, [["k"]]]);
  });

  it("is over for its handle once it is released", async () => {
    const { hold } = openHolding();
    const held = await hold("k");

    await held.release();

    expect([thrownCode(() => held.assertHeld()), held.signal.aborted]).toEqual(["CLAIM_ENDED", false]);
  });

  it("can be taken again after it was lost, by a handle of its own", async () => {
    let isOurs = false;
    const { hold, clock } = openHolding({
      replace: (inner) => ({ extend: (lease) => (isOurs ? inner.extend(lease) : Promise.resolve(false)) }),
    });
    const lost = await hold("k");
    await clock.advance(TTL_MS / 3);
    await lost.release();
    isOurs = true;

    const held = await hold("k");
    await clock.advance(TTL_MS);

    expect([lost.signal.aborted, held.signal.aborted]).toEqual([true, false]);
  });

  it.each([
    ["exclusive", "shared", "contended"],
    ["shared", "exclusive", "contended"],
    ["shared", "shared", "held"],
  ] as const)("L8 that is %s leaves a %s one %s", async (first, second, status) => {
    const { hold, other, clock } = openHolding();
    const held = await hold("k", { mode: first });
    await clock.advance(TTL_MS * 2);

    const answer = await other().acquire("k", { mode: second });

    expect([held.signal.aborted, answer.status]).toEqual([false, status]);
  });

  it("L8 that is shared is renewed and released as shared", async () => {
    const { hold, clock, lock } = openHolding();
    const held = await hold("k", { mode: "shared" });
    await clock.advance(TTL_MS / 3);

    await held.release();

    expect(lock.calls.map(({ name, mode }) => [name, mode])).toEqual([
      ["acquire", "shared"],
      ["extend", "shared"],
      ["release", "shared"],
    ]);
  });
});

describe("a thousand held locks", () => {
  it("are renewed by a few calls on one timer, where the server extends many at once", async () => {
    const { hold, clock, lock } = openHolding({
      replace: (inner) => ({ extendMany: (leases) => Promise.all(leases.map((lease) => inner.extend(lease))) }),
    });
    const all = await Promise.all(Array.from({ length: 1_000 }, (_, index) => hold(`k${index}`)));
    const timers = clock.pendingTimers;

    await clock.advance(TTL_MS * 3);

    expect([timers, clock.pendingTimers, lock.count("extend")]).toEqual([1, 1, 0]);
    expect(lock.count("extendMany")).toBe(90);
    expect(all.filter(({ signal }) => signal.aborted)).toEqual([]);
  });

  it("lose only those that are answered not to be ours", async () => {
    const { hold, clock } = openHolding({
      replace: () => ({ extendMany: async (leases) => leases.map(({ key }) => key !== "k42") }),
    });
    const all = await Promise.all(Array.from({ length: 150 }, (_, index) => hold(`k${index}`)));

    await clock.advance(TTL_MS / 3);

    expect(all.filter(({ signal }) => signal.aborted).map(({ keys }) => keys)).toEqual([["k42"]]);
  });

  it.each([
    ["fails", (): Promise<boolean> => Promise.reject(NO_QUORUM)],
    ["hangs", (): Promise<boolean> => new Promise(() => {})],
  ])("lose only those whose own extension %s until the deadline, where each is extended by itself", async (_title, broken) => {
    const { hold, clock } = openHolding({
      replace: (inner) => ({ extend: (lease) => (lease.key === "k42" ? broken() : inner.extend(lease)) }),
    });
    const all = await Promise.all(Array.from({ length: 150 }, (_, index) => hold(`k${index}`)));

    await clock.advance(TTL_MS * 2);

    expect(all.filter(({ signal }) => signal.aborted).map(({ keys }) => keys)).toEqual([["k42"]]);
  });

  it("leave nothing behind once they are released", async () => {
    const { hold, clock, lock, holding } = openHolding();
    const all = await Promise.all(Array.from({ length: 1_000 }, (_, index) => hold(`k${index}`)));

    await Promise.all(all.map((held) => held.release()));
    await clock.advance(TTL_MS);
    await settle();

    expect([clock.pendingTimers, holding.running.works().length, lock.count("extend")]).toEqual([0, 0, 0]);
  });
});
