import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { settle } from "../support/manual-clock.ts";
import { deferred, drawing, openHolding, stateOf, TTL_MS } from "./open-holding.ts";

const NO_QUORUM = new ExclaimError("LOCK_UNREACHABLE", "no quorum", {
  backend: "memory",
  nodes: [{ node: "redis:6379", cause: "ECONNREFUSED" }],
});

describe("an acquisition that does not wait", () => {
  it("L4 tries once, and tells how long the holder's lease still lasts", async () => {
    const { acquire, other, clock, lock } = openHolding();
    await other().hold("k");
    await clock.advance(500);
    const asks = lock.count("acquire");

    const answer = await acquire("k");

    expect([answer.status, "retryAfterMs" in answer && answer.retryAfterMs]).toEqual(["contended", 2_500]);
    expect([lock.count("acquire") - asks, lock.count("watch"), lock.count("release"), clock.pendingTimers]).toEqual([
      1, 0, 0, 1,
    ]);
  });

  it("L9 keeps no place in the line", async () => {
    const { acquire, other, lock } = openHolding();
    const held = await other().hold("k");

    await acquire("k");
    await held.release();

    expect(await lock.isTaken("k")).toBe(false);
  });
});

// Planted: a wait that ends after the pause and not at its own end; a pause that ignores the hint; a fixed pause instead of a random
// one; a wait that ends at the first LOCK_UNREACHABLE, or reports it as contention. Each made a test here fail.
describe("an acquisition that waits", () => {
  it.each(["line", "push", "plain"] as const)("wins soon after the holder gives it back (%s)", async (kind) => {
    const { acquire, other, clock } = openHolding({ kind });
    const held = await other().hold("k");
    const waiting = acquire("k", { waitMs: 60_000 });
    await clock.advance(10_000);

    await held.release();
    await clock.advance(kind === "plain" ? 1_000 : 10);

    expect(await stateOf(waiting)).toBe("held");
  });

  it.each(["line", "push", "plain"] as const)(
    "is over at its end to the ms, with a hint, and leaves nothing (%s)",
    async (kind) => {
      const { acquire, other, clock, lock } = openHolding({ kind });
      const held = await other().hold("k");
      const waiting = acquire("k", { waitMs: 7_777 });

      await clock.advance(7_776);
      const before = await stateOf(waiting);
      await clock.advance(1);
      const answer = await waiting;
      await held.release();

      expect([before, answer.status]).toEqual(["pending", "contended"]);
      expect("retryAfterMs" in answer && answer.retryAfterMs).toBeGreaterThanOrEqual(2_000);
      expect([await lock.isTaken("k"), lock.watches.size]).toEqual([false, 0]);
    },
  );

  it("is over at its end in the line of the process as well", async () => {
    const { acquire, hold, clock } = openHolding({ kind: "plain" });
    await hold("k");
    const first = acquire("k", { waitMs: 60_000 });
    const second = acquire("k", { waitMs: 1_000 });

    await clock.advance(1_000);

    expect([await stateOf(first), await stateOf(second)]).toEqual(["pending", "contended"]);
  });

  it("asks again when the holder's lease is over, a little spread, and not later", async () => {
    const { acquire, clock, lock } = openHolding({ kind: "plain", random: drawing(0.9) });
    await lock.acquire("k", { ttlMs: 30, owner: "dead" });
    const startMs = clock.now();

    const waiting = acquire("k", { waitMs: 60_000 });
    await clock.advance(100);

    expect(await stateOf(waiting)).toBe("held");
    expect(lock.calls.filter(({ owner }) => owner !== "dead").map(({ atMs }) => atMs - startMs)).toEqual([0, 39]);
  });

  it("without wake-ups asks after random times below a limit that doubles up to a second", async () => {
    const { acquire, clock, lock } = openHolding({ kind: "plain", random: drawing(0.5) });
    await lock.acquire("k", { ttlMs: 3_600_000, owner: "other" });
    const startMs = clock.now();

    void acquire("k", { waitMs: 5_000 });
    await clock.advance(4_000);

    const asksAtMs = lock.calls.slice(1).map(({ atMs }) => atMs - startMs);
    expect(asksAtMs).toEqual([0, 25, 75, 175, 375, 775, 1_275, 1_775, 2_275, 2_775, 3_275, 3_775]);
  });

  it("with wake-ups asks seldom unasked, in case one was lost with its connection", async () => {
    const { acquire, clock, lock } = openHolding({ kind: "push", random: drawing(0.9) });
    await lock.acquire("k", { ttlMs: 3_600_000, owner: "other" });
    const startMs = clock.now();

    void acquire("k", { waitMs: 60_000 });
    await clock.advance(10_000);

    expect(lock.calls.slice(1).map(({ name, atMs }) => [name, atMs - startMs])).toEqual([
      ["acquire", 0],
      ["watch", 0],
      ["acquire", 9],
      ["acquire", 4_759],
      ["acquire", 9_509],
    ]);
  });

  it("outlasts a server that cannot be reached for a while, and says so in an event", async () => {
    let isAway = true;
    const { acquire, clock, events } = openHolding({
      replace: (inner) => ({ acquire: (key, options) => (isAway ? Promise.reject(NO_QUORUM) : inner.acquire(key, options)) }),
    });
    const told: unknown[] = [];
    events.on("background:failed", ({ error }) => told.push(error));
    const waiting = acquire("k", { waitMs: 10_000 });
    await clock.advance(3_000);

    isAway = false;
    await clock.advance(1_000);

    expect(await stateOf(waiting)).toBe("held");
    expect(told).toContain(NO_QUORUM);
  });

  it("throws LOCK_UNREACHABLE with its nodes when that is how it stands at the end", async () => {
    const { acquire, clock } = openHolding({ replace: () => ({ acquire: () => Promise.reject(NO_QUORUM) }) });
    const failed = acquire("k", { waitMs: 10_000 }).catch((error: unknown) => error);

    await clock.advance(9_999);
    const before = await stateOf(failed);
    await clock.advance(1);

    expect(before).toBe("pending");
    expect(await failed).toBe(NO_QUORUM);
  });

  it("is contended when the server is back at the end and says so", async () => {
    let isAway = true;
    const { acquire, other, clock } = openHolding({
      kind: "plain",
      replace: (inner) => ({ acquire: (key, options) => (isAway ? Promise.reject(NO_QUORUM) : inner.acquire(key, options)) }),
    });
    isAway = false;
    await other().hold("k");
    isAway = true;
    const waiting = acquire("k", { waitMs: 2_000 });
    await clock.advance(1_900);

    isAway = false;
    await clock.advance(100);

    expect(await stateOf(waiting)).toBe("contended");
  });

  it("ends with CONFIG_INVALID at once: waiting mends nothing", async () => {
    const wrong = new ExclaimError("CONFIG_INVALID", "ttl too long for this server");
    const { acquire, lock } = openHolding({ replace: () => ({ acquire: () => Promise.reject(wrong) }) });

    const error = await acquire("k", { waitMs: 60_000 }).catch((thrown: unknown) => thrown);

    expect(error).toBe(wrong);
    expect(lock.count("acquire")).toBe(1);
  });

  it("L7 asks as the same owner again, so that a win whose answer was lost is its own", async () => {
    let asks = 0;
    const { hold, clock, lock } = openHolding({
      kind: "plain",
      replace: (inner) => ({
        async acquire(key, options) {
          asks += 1;
          const attempt = await inner.acquire(key, options);
          if (asks === 1) throw NO_QUORUM;
          return attempt;
        },
      }),
    });

    const waiting = hold("k", { waitMs: 10_000 });
    await clock.advance(100);
    const held = await waiting;

    expect(new Set(lock.calls.map(({ owner }) => owner)).size).toBe(1);
    expect([await held.release(), await lock.isTaken("k")]).toEqual([true, false]);
  });
});

// Planted: a watch that is waited for before asking again; one that failed and counts all the same; no ask after it stands; no asking
// but on a wake-up; a watch that is not ended; an end of it that throws into the win. Each made a test here fail.
describe("a wake-up", () => {
  it.each([
    ["is refused", 1_000, (): LockBackend["watch"] => () => Promise.reject(NO_QUORUM)],
    [
      "is refused by a throw",
      1_000,
      (): LockBackend["watch"] => () => {
        throw NO_QUORUM;
      },
    ],
    ["is never confirmed", 1_000, (): LockBackend["watch"] => () => new Promise(() => {})],
    ["never comes", 5_000, (): LockBackend["watch"] => async () => () => {}],
  ])("L10 that %s only makes the wait a little longer", async (_title, withinMs, watch) => {
    const { acquire, other, clock, lock } = openHolding({ kind: "push", replace: () => ({ watch: watch() as never }) });
    const held = await other().hold("k");
    const waiting = acquire("k", { waitMs: 60_000 });
    await clock.advance(12_345);

    await held.release();
    await clock.advance(withinMs);

    expect(await stateOf(waiting)).toBe("held");
    expect(lock.count("acquire")).toBeLessThan(40);
  });

  it("L10 is not missed when the key became free before the watch stood", async () => {
    const standing = deferred();
    const { acquire, other, clock, lock } = openHolding({
      kind: "push",
      random: drawing(0.9),
      replace: () => ({ watch: () => standing.promise.then(() => () => {}) }),
    });
    await lock.acquire("k", { ttlMs: 86_400_000, owner: "gone" });
    const waiting = acquire("k", { waitMs: 60_000 });
    await clock.advance(4_000);
    await lock.release({ key: "k", owner: "gone", ttlMs: 86_400_000 });

    standing.resolve();
    await clock.advance(10);

    expect(await stateOf(waiting)).toBe("held");
    expect(await stateOf(other().acquire("k"))).toBe("contended");
  });

  it.each([
    ["comes once more after the win", (wake: () => void) => wake],
    [
      "is ended by a function that throws",
      () => () => {
        throw new Error("no such subscription");
      },
    ],
    ["is ended by a function that rejects", () => () => Promise.reject(new Error("no such subscription"))],
  ])("that %s costs the lock nothing", async (_title, end) => {
    const { acquire, other, clock } = openHolding({
      kind: "push",
      replace: (inner) => ({
        async watch(waiter, wake) {
          await inner.watch?.(waiter, wake);
          return end(wake) as () => void;
        },
      }),
    });
    const holder = await other().hold("k");
    const waiting = acquire("k", { waitMs: 60_000 });
    await settle();

    await holder.release();
    await clock.advance(20);
    const held = await waiting;
    await clock.advance(TTL_MS);

    expect(held.status).toBe("held");
    expect("signal" in held && held.signal.aborted).toBe(false);
  });

  it("is ended also when it is confirmed only after the wait", async () => {
    const standing = deferred();
    let ended = 0;
    const { acquire, other, clock } = openHolding({
      kind: "push",
      replace: () => ({
        async watch() {
          await standing.promise;
          return () => {
            ended += 1;
          };
        },
      }),
    });
    await other().hold("k");
    const waiting = acquire("k", { waitMs: 100 });
    await clock.advance(100);

    standing.resolve();
    await settle();

    expect([await stateOf(waiting), ended]).toEqual(["contended", 1]);
  });
});
