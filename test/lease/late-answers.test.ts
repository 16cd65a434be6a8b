import { describe, expect, it } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import type { LockLease } from "../../src/lock/lock.ts";
import { settle } from "../support/manual-clock.ts";
import { deferred, openHolding, rejectionOf, stateOf, TTL_MS } from "./open-holding.ts";

// Planted: late wins not given back; the owner of a try that was given up asks again; an unlimited acquire; a limit of the ttl alone;
// an undoing that waits for the answer for ever, or is over before a very late one. Each made a test here fail.
describe("an acquisition that is answered late", () => {
  it("L6 is not waited for longer than the ttl, and says which back-end was silent", async () => {
    const { acquire, clock } = openHolding({ replace: () => ({ acquire: () => new Promise<never>(() => {}) }) });
    const failed = acquire("k").catch((error: unknown) => error);

    await clock.advance(TTL_MS - 1);
    const before = await stateOf(failed);
    await clock.advance(1);

    expect(before).toBe("pending");
    expect(await failed).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { backend: "memory", nodes: [{ node: "memory", cause: "the answer came too late, or not at all" }] },
    });
  });

  it("L6 is not waited for longer than 5 seconds, however long the ttl", async () => {
    const { acquire, clock } = openHolding({ replace: () => ({ acquire: () => new Promise<never>(() => {}) }) });
    const failed = rejectionOf(acquire("k", { ttlMs: 86_400_000 }));

    await clock.advance(5_000);

    expect(await stateOf(failed)).toBe("done");
    expect(await failed).toBe("LOCK_UNREACHABLE");
  });

  it("L5 is undone when the answer comes after all", async () => {
    const answer = deferred();
    const { acquire, clock, lock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          await answer.promise;
          return inner.acquire(key, options);
        },
      }),
    });
    const failed = rejectionOf(acquire("k"));
    await clock.advance(TTL_MS * 10);

    answer.resolve();
    await settle();

    expect(await failed).toBe("LOCK_UNREACHABLE");
    expect([await lock.isTaken("k"), clock.pendingTimers]).toEqual([false, 0]);
  });

  it("L5 is undone when the answer never comes", async () => {
    const { acquire, clock, lock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          await inner.acquire(key, { ...options, ttlMs: 86_400_000 });
          return new Promise<never>(() => {});
        },
      }),
    });
    const failed = rejectionOf(acquire("k"));

    await clock.advance(TTL_MS * 2);

    expect(await failed).toBe("LOCK_UNREACHABLE");
    expect([await lock.isTaken("k"), clock.pendingTimers]).toEqual([false, 0]);
  });

  it("L5 is undone with the very lease that was answered", async () => {
    const answer = deferred();
    const released: LockLease[] = [];
    const lease: LockLease = { key: "k", owner: "as the back-end has it", ttlMs: 4_000 };
    const { acquire, clock } = openHolding({
      replace: () => ({
        acquire: () => answer.promise.then(() => ({ lease })),
        async release(given) {
          released.push(given);
          return true;
        },
      }),
    });
    const failed = rejectionOf(acquire("k"));
    await clock.advance(TTL_MS);

    answer.resolve();

    expect(await failed).toBe("LOCK_UNREACHABLE");
    await settle();
    expect(released).toHaveLength(1);
    expect(released[0]).toBe(lease);
  });

  it("of a back-end that answers nothing at all is a failure, and not the end of the process", async () => {
    const { acquire } = openHolding({ replace: () => ({ acquire: async () => undefined as never }) });

    expect(await rejectionOf(acquire("k"))).toBe("LOCK_UNREACHABLE");
    await settle();
  });

  it("L5 is given back when a stalled event loop makes it too old to be trusted", async () => {
    const { acquire, clock, lock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          const attempt = await inner.acquire(key, options);
          clock.stall(TTL_MS - 60);
          return attempt;
        },
      }),
    });

    const outcome = await rejectionOf(acquire("k"));
    await settle();

    expect(outcome).toBe("LOCK_UNREACHABLE");
    expect(await lock.isTaken("k")).toBe(false);
  });

  it("is still trusted a moment before its margin", async () => {
    const { hold, clock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          const attempt = await inner.acquire(key, options);
          clock.stall(TTL_MS - 61);
          return attempt;
        },
      }),
    });

    const held = await hold("k");

    expect(held.assertHeld()).toBeUndefined();
  });

  it("L2 does not take away what a later try of the same wait has won", async () => {
    const first = deferred();
    let tries = 0;
    const { hold, clock, lock } = openHolding({
      kind: "plain",
      replace: (inner) => ({
        async acquire(key, options) {
          tries += 1;
          if (tries === 1) await first.promise;
          return inner.acquire(key, options);
        },
      }),
    });
    const waiting = hold("k", { waitMs: 60_000 });
    await clock.advance(TTL_MS + 100);
    const held = await waiting;

    first.resolve();
    await settle();

    expect(await lock.isTaken("k")).toBe(true);
    await clock.advance(TTL_MS * 3);
    expect([held.signal.aborted, await lock.isTaken("k")]).toEqual([false, true]);
  });

  it("L2 does not take it away either when giving back the late win took its time", async () => {
    const answer = deferred();
    const slowRelease = deferred();
    let tries = 0;
    const { hold, clock, lock } = openHolding({
      kind: "plain",
      replace: (inner) => ({
        async acquire(key, options) {
          tries += 1;
          const isFirst = tries === 1;
          const attempt = await inner.acquire(key, options);
          if (isFirst) await answer.promise;
          return attempt;
        },
        async release(lease) {
          await slowRelease.promise;
          return inner.release(lease);
        },
      }),
    });
    const waiting = hold("k", { waitMs: 60_000 });
    await clock.advance(TTL_MS - 50);
    answer.resolve();
    await clock.advance(TTL_MS + 100);
    const held = await waiting;

    slowRelease.resolve();
    await settle();

    expect(await lock.isTaken("k")).toBe(true);
    await clock.advance(TTL_MS * 3);
    expect([held.signal.aborted, await lock.isTaken("k")]).toEqual([false, true]);
  });

  it("L4 is LOCK_UNREACHABLE too when the back-end throws what it should not", async () => {
    const { acquire } = openHolding({
      replace: () => ({
        acquire() {
          throw new TypeError("client.eval is not a function");
        },
      }),
    });

    const error = await acquire("k").catch((thrown: unknown) => thrown);

    expect(isExclaimError(error, "LOCK_UNREACHABLE")).toBe(true);
    expect(error).toMatchObject({
      cause: { name: "TypeError" },
      details: { nodes: [{ node: "memory", cause: "client.eval is not a function" }] },
    });
  });
});
