import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { settle } from "../support/manual-clock.ts";
import { deferred, openHolding, stateOf, TTL_MS } from "./open-holding.ts";

const NO_QUORUM = new ExclaimError("LOCK_UNREACHABLE", "no quorum");

// Planted: a second release that asks the server again, or answers otherwise; a release that waits for ever; one that throws; one that
// leaves the renewal on; true whatever the server says. Each made a test here fail.
describe("a release", () => {
  it("is true while the lock is ours, and the key is free then", async () => {
    const { hold, lock } = openHolding();
    const held = await hold("k");

    expect(await held.release()).toBe(true);
    expect(await lock.isTaken("k")).toBe(false);
  });

  it("is made once, however often and however concurrently it is called", async () => {
    const { hold, lock, acquire } = openHolding();
    const held = await hold("k");

    const answers = await Promise.all([held.release(), held.release(), held[Symbol.asyncDispose]()]);
    const next = await acquire("k");
    const later = await held.release();

    expect([answers, later, lock.count("release")]).toEqual([[true, true, undefined], true, 1]);
    expect([next.status, await lock.isTaken("k")]).toEqual(["held", true]);
  });

  it("ends the renewal, also one that is under way", async () => {
    const renewal = deferred<boolean>();
    const { hold, clock, lock, events } = openHolding({ replace: () => ({ extend: () => renewal.promise }) });
    const told: unknown[] = [];
    events.on("lock:lost", (event) => told.push(event));
    const held = await hold("k");
    await clock.advance(TTL_MS / 3);

    await held.release();
    renewal.resolve(false);
    await clock.advance(TTL_MS * 10);

    expect([lock.count("extend"), told, held.signal.aborted]).toEqual([1, [], false]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("L6 of a back-end that hangs ends after the ttl, is false, and an event tells", async () => {
    const { hold, clock, events } = openHolding({ replace: () => ({ release: () => new Promise<never>(() => {}) }) });
    const told: unknown[] = [];
    events.on("lock:releaseFailed", (event) => told.push(event));
    const held = await hold("k");
    const releasing = held.release();

    await clock.advance(TTL_MS - 1);
    const before = await stateOf(releasing);
    await clock.advance(1);

    expect([before, await releasing, clock.pendingTimers]).toEqual(["pending", false, 0]);
    expect(told).toMatchObject([{ key: "k", error: { code: "LOCK_UNREACHABLE", details: { backend: "memory" } } }]);
  });

  it("L6 of a back-end that hangs ends after 5 seconds, however long the ttl, all keys together", async () => {
    const { hold, clock } = openHolding({ replace: () => ({ release: () => new Promise<never>(() => {}) }) });
    const held = await hold(["a", "b", "c"], { ttlMs: 86_400_000 });
    const releasing = held.release();

    await clock.advance(5_000);

    expect(await stateOf(releasing)).toBe("done");
    expect(await releasing).toBe(false);
  });

  it.each([
    ["rejects", () => Promise.reject(NO_QUORUM)],
    [
      "throws",
      () => {
        throw NO_QUORUM;
      },
    ],
  ])("never throws: of a back-end that %s it is false, and an event tells", async (_title, release) => {
    const { hold, events } = openHolding({ replace: () => ({ release }) });
    const told: unknown[] = [];
    events.on("lock:releaseFailed", (event) => told.push(event));
    const held = await hold("k");

    expect(await held.release()).toBe(false);
    expect(told).toEqual([{ key: "k", error: NO_QUORUM }]);
  });

  it("is false when one of several keys was no longer ours", async () => {
    const { hold, lock } = openHolding();
    const held = await hold(["a", "b"]);
    const owner = lock.calls.find(({ keys }) => keys[0] === "a")?.owner ?? "";
    await lock.release({ key: "a", owner, ttlMs: TTL_MS });

    expect(await held.release()).toBe(false);
    expect(await lock.isTaken("b")).toBe(false);
  });

  it("L2 is false after the loss, and takes nothing from who has the lock now", async () => {
    const { hold, other, clock, lock } = openHolding({ replace: () => ({ extend: () => Promise.reject(NO_QUORUM) }) });
    const held = await hold("k");
    await clock.advance(TTL_MS);
    const successor = await other().hold("k");

    expect(await held.release()).toBe(false);
    expect(await lock.isTaken("k")).toBe(true);
    expect(await successor.release()).toBe(true);
  });

  it("is false when the deadline passed in a stalled event loop", async () => {
    const { hold, clock } = openHolding();
    const held = await hold("k");

    clock.stall(TTL_MS - 60);

    expect(await held.release()).toBe(false);
  });

  it("is not held up by listeners of its events that throw", async () => {
    const { hold, events } = openHolding({ replace: () => ({ release: () => Promise.reject(NO_QUORUM) }) });
    events.on("lock:releaseFailed", () => {
      throw new Error("no disk left for logs");
    });
    const held = await hold("k");

    expect(await held.release()).toBe(false);
  });
});

describe("await using", () => {
  it("gives the lock back at the end of the block", async () => {
    const { hold, lock } = openHolding();
    let during: boolean;

    {
      await using held = await hold("k");
      during = await lock.isTaken(held.keys[0] ?? "");
    }

    expect([during, await lock.isTaken("k")]).toEqual([true, false]);
  });

  it("keeps the body's error when the release fails", async () => {
    const { hold } = openHolding({ replace: () => ({ release: () => Promise.reject(NO_QUORUM) }) });
    const body = new Error("out of stock");

    const error = await (async () => {
      await using _held = await hold("k");
      throw body;
    })().catch((thrown: unknown) => thrown);

    expect(error).toBe(body);
  });

  it("keeps the body's error when the release hangs", async () => {
    const { hold, clock } = openHolding({ replace: () => ({ release: () => new Promise<never>(() => {}) }) });
    const body = new Error("out of stock");
    const failed = (async () => {
      await using _held = await hold("k");
      throw body;
    })().catch((thrown: unknown) => thrown);

    await clock.advance(TTL_MS);

    expect(await failed).toBe(body);
  });

  it("does nothing for a contended one", async () => {
    const { acquire, other, lock } = openHolding();
    await other().hold("k");

    const status = await (async () => {
      await using answer = await acquire("k");
      return answer.status;
    })();
    await settle();

    expect([status, lock.count("release"), await lock.isTaken("k")]).toEqual(["contended", 0, true]);
  });
});
