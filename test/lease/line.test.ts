import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { settle } from "../support/manual-clock.ts";
import { drawing, openHolding, rejectionOf, stateOf, TTL_MS } from "./open-holding.ts";

const NO_QUORUM = new ExclaimError("LOCK_UNREACHABLE", "no quorum");

// Planted: a place that is not given up; given up without its mode; pauses longer than a place lasts, with wake-ups and without.
// Each made a test here fail.
describe("a place in the line", () => {
  it.each([
    ["with wake-ups", {}],
    ["without wake-ups", { replace: () => ({ watch: () => Promise.reject(NO_QUORUM) }) }],
    ["with wake-ups that are never confirmed", { replace: () => ({ watch: () => new Promise<never>(() => {}) }) }],
  ])("L9 is kept for as long as the wait lasts, however short the ttl (%s)", async (_title, script) => {
    const { acquire, other, clock, lock } = openHolding({ ...script, random: drawing(0.99) });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });
    const waiting = acquire("k", { waitMs: 600_000, ttlMs: 150 });
    await clock.advance(1);
    const late = other().acquire("k", { waitMs: 600_000 });
    await clock.advance(60_000);

    await lock.release({ key: "k", owner: "holder", ttlMs: 86_400_000 });
    await clock.advance(60);

    expect([await stateOf(waiting), await stateOf(late)]).toEqual(["held", "pending"]);
  });

  it("L9 is kept through a failure of the server that is shorter than the ttl", async () => {
    let isAway = false;
    const { acquire, other, clock, lock } = openHolding({
      random: drawing(0.99),
      replace: (inner) => ({ acquire: (key, options) => (isAway ? Promise.reject(NO_QUORUM) : inner.acquire(key, options)) }),
    });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });
    const waiting = acquire("k", { waitMs: 600_000 });
    await clock.advance(1);
    const late = other().acquire("k", { waitMs: 600_000 });
    await clock.advance(10_000);

    isAway = true;
    await clock.advance(1_500);
    isAway = false;
    await clock.advance(1_000);
    await lock.release({ key: "k", owner: "holder", ttlMs: 86_400_000 });
    await clock.advance(10);

    expect([await stateOf(waiting), await stateOf(late)]).toEqual(["held", "pending"]);
  });

  it("L9 is given up when the wait is over, so that the next one passes", async () => {
    const { acquire, other, clock, lock } = openHolding();
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });
    const early = acquire("k", { waitMs: 1_000, ttlMs: 60_000 });
    await settle();
    const next = other().acquire("k", { waitMs: 60_000 });
    await clock.advance(1_000);

    await lock.release({ key: "k", owner: "holder", ttlMs: 86_400_000 });
    await settle();

    expect([await stateOf(early), await stateOf(next)]).toEqual(["contended", "held"]);
  });

  it("L9 is given up when the wait ends with an error", async () => {
    const wrong = new ExclaimError("CONFIG_INVALID", "this server was replaced by another");
    let isWrong = false;
    const { acquire, clock, lock } = openHolding({
      replace: (inner) => ({ acquire: (key, options) => (isWrong ? Promise.reject(wrong) : inner.acquire(key, options)) }),
    });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });
    const failed = rejectionOf(acquire("k", { waitMs: 60_000 }));
    await clock.advance(5_000);

    isWrong = true;
    await clock.advance(5_000);
    isWrong = false;
    await lock.release({ key: "k", owner: "holder", ttlMs: 86_400_000 });

    expect(await failed).toBe("CONFIG_INVALID");
    expect(await lock.isTaken("k")).toBe(false);
  });

  it("L8 L9 is given up as what it was: the place of a reader", async () => {
    const { acquire, clock, lock } = openHolding();
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });

    const waiting = acquire("k", { waitMs: 1_000, mode: "shared" });
    await clock.advance(1_000);

    expect(await stateOf(waiting)).toBe("contended");
    expect(lock.calls.filter(({ name }) => name !== "acquire").map(({ name, mode }) => [name, mode])).toEqual([
      ["watch", "shared"],
      ["release", "shared"],
    ]);
  });

  it("is not given back when it was turned into the lock", async () => {
    const { hold, clock, lock } = openHolding();
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "holder" });
    const waiting = hold("k", { waitMs: 60_000 });
    await clock.advance(100);

    await lock.release({ key: "k", owner: "holder", ttlMs: 86_400_000 });
    const held = await waiting;
    await clock.advance(TTL_MS * 2);

    expect([lock.count("release"), await lock.isTaken("k"), held.signal.aborted]).toEqual([1, true, false]);
  });
});
