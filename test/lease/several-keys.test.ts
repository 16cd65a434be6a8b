import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { openHolding, rejectionOf, stateOf, TTL_MS } from "./open-holding.ts";

// Planted: keys in the order given; a key asked for twice; early keys kept when a later one is contended or fails; early keys not renewed
// while others are waited for; a loss that is noticed only at the end of the wait; a wait of its own for each key. Each made a test fail.
describe("several keys", () => {
  it.each([[["b", "a", "c"]], [["c", "b", "a"]], [["a", "c", "b", "a", "c"]]])(
    "are taken in one order, each once, however they are given: %j",
    async (keys) => {
      const { hold, lock } = openHolding();

      const held = await hold(keys);

      expect(lock.calls.map((call) => [call.name, ...call.keys])).toEqual([
        ["acquire", "a"],
        ["acquire", "b"],
        ["acquire", "c"],
      ]);
      expect(held.keys).toEqual(["a", "b", "c"]);
    },
  );

  it("are all given back when the last one is contended, and the hint is its holder's", async () => {
    const { acquire, other, clock, lock } = openHolding();
    await other().hold("c", { ttlMs: 60_000 });

    const answer = await acquire(["a", "b", "c"]);

    expect([answer.status, "retryAfterMs" in answer && answer.retryAfterMs]).toEqual(["contended", 60_000]);
    expect([await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, false]);
    await clock.advance(TTL_MS);
    expect(lock.count("extend")).toBe(0);
  });

  it("are all given back when the last one fails", async () => {
    const noQuorum = new ExclaimError("LOCK_UNREACHABLE", "no quorum");
    const { acquire, lock } = openHolding({
      replace: (inner) => ({
        acquire: (key, options) => (key === "c" ? Promise.reject(noQuorum) : inner.acquire(key, options)),
      }),
    });

    expect(await rejectionOf(acquire(["a", "b", "c"]))).toBe("LOCK_UNREACHABLE");
    expect([await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, false]);
  });

  it("are all given back when the wait for the last one is aborted", async () => {
    const { acquire, other, clock, lock } = openHolding();
    const controller = new AbortController();
    await other().hold("c");
    const waiting = acquire(["a", "b", "c"], { waitMs: 60_000, signal: controller.signal });
    await clock.advance(1_000);

    controller.abort();

    expect(await stateOf(waiting)).toBe("ABORTED");
    expect([await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, false]);
  });

  it("L3 that were won early are renewed while later ones are waited for", async () => {
    const { hold, other, clock, lock } = openHolding();
    const holder = await other().hold("b");
    const waiting = hold(["a", "b"], { waitMs: 60_000 });
    await clock.advance(TTL_MS * 5);

    const before = await lock.isTaken("a");
    await holder.release();
    await clock.advance(10);
    const held = await waiting;

    expect([before, held.keys]).toEqual([true, ["a", "b"]]);
    expect(held.assertHeld()).toBeUndefined();
    await clock.advance(TTL_MS * 5);
    expect([held.signal.aborted, await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, true, true]);
  });

  it("are waited for no longer once one of those won is lost", async () => {
    const { acquire, other, clock, lock } = openHolding({
      replace: (inner) => ({ extend: async (lease) => lease.key !== "a" && inner.extend(lease) }),
    });
    await other().hold("b");
    const failed = rejectionOf(acquire(["a", "b"], { waitMs: 60_000 }));

    await clock.advance(TTL_MS / 3);

    expect(await stateOf(failed)).toBe("done");
    expect(await failed).toBe("LEASE_LOST");
    expect(await lock.isTaken("a")).toBe(false);
  });

  it("are not held when the first ran out in a stalled event loop before the last was won", async () => {
    const { acquire, clock, lock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          const attempt = await inner.acquire(key, options);
          clock.stall(TTL_MS / 2);
          return attempt;
        },
      }),
    });

    expect(await rejectionOf(acquire(["a", "b"]))).toBe("LEASE_LOST");
    expect([await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, false]);
  });

  it("share one wait", async () => {
    const { acquire, other, clock } = openHolding();
    const holder = await other().hold("a");
    await other().hold("b");
    const waiting = acquire(["a", "b"], { waitMs: 10_000 });
    await clock.advance(8_000);

    await holder.release();
    await clock.advance(1_999);
    const before = await stateOf(waiting);
    await clock.advance(1);

    expect([before, await stateOf(waiting)]).toEqual(["pending", "contended"]);
  });

  it("are lost together when one of them is", async () => {
    const { hold, clock, lock, events } = openHolding({
      replace: (inner) => ({ extend: async (lease) => lease.key !== "b" && inner.extend(lease) }),
    });
    const told: unknown[] = [];
    events.on("lock:lost", ({ keys, reason }) => told.push([keys, reason.code]));
    const held = await hold(["b", "a"]);

    await clock.advance(TTL_MS / 3);

    expect(told).toEqual([[["a", "b"], "LEASE_LOST"]]);
    expect(held.signal.aborted).toBe(true);
    expect(await held.release()).toBe(false);
    expect([await lock.isTaken("a"), await lock.isTaken("b")]).toEqual([false, false]);
  });

  it("cannot deadlock two who want them in opposite order", async () => {
    const first = openHolding();
    const second = first.other();
    let rounds = 0;
    const turn = async ({ hold }: typeof first, keys: readonly string[]) => {
      for (let round = 0; round < 20; round += 1) {
        const held = await hold(keys, { waitMs: 60_000 });
        rounds += 1;
        await held.release();
      }
    };

    const turns = [turn(first, ["a", "b"]), turn(second, ["b", "a"]), turn(first, ["b", "a"])];
    await first.clock.advance(5_000);
    await Promise.all(turns);

    expect(rounds).toBe(60);
  });
});
