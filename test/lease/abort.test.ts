import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { LockAttempt, LockBackend } from "../../src/lock/lock.ts";
import { settle } from "../support/manual-clock.ts";
import { type Deferred, deferred, openHolding, rejectionOf, stateOf, TTL_MS } from "./open-holding.ts";
import type { LockScript } from "./recorded-lock.ts";

const WAIT_MS = 60_000;

// Planted: an abort that is looked at only once the call under way is answered; a call under way that is not undone; a place that is not
// given up; a timer, or a listener on the signal, that is left. Each made a test here fail.
describe("an aborted wait", () => {
  it("is not begun when the signal was aborted before: no call is made", async () => {
    const { acquire, lock } = openHolding();

    const once = await rejectionOf(acquire("k", { signal: AbortSignal.abort() }));
    const waiting = await rejectionOf(acquire("k", { waitMs: WAIT_MS, signal: AbortSignal.abort() }));

    expect([once, waiting]).toEqual(["ABORTED", "ABORTED"]);
    expect(lock.calls).toEqual([]);
  });

  it("ends at once in the line of the process, and the line closes up", async () => {
    const { acquire, hold, clock, lock } = openHolding({ kind: "plain" });
    const controller = new AbortController();
    const held = await hold("k");
    const first = acquire("k", { waitMs: WAIT_MS });
    await settle();
    const second = acquire("k", { waitMs: WAIT_MS, signal: controller.signal });
    const third = acquire("k", { waitMs: WAIT_MS });
    await settle();
    const calls = lock.calls.length;

    controller.abort("changed my mind");
    const state = await stateOf(second);
    const callsForAbort = lock.calls.length - calls;
    await held.release();
    await clock.advance(10);
    const next = await first;
    await (next.status === "held" && next.release());
    await clock.advance(10);

    expect([state, callsForAbort]).toEqual(["ABORTED", 0]);
    expect(await stateOf(third)).toBe("held");
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it.each(["line", "push", "plain"] as const)(
    "ends at once while it sleeps, and leaves no place, watch or timer (%s)",
    async (kind) => {
      const { acquire, hold, other, clock, lock } = openHolding({ kind });
      const controller = new AbortController();
      const held = await other().hold("k");
      const timers = clock.pendingTimers;
      const waiting = acquire("k", { waitMs: WAIT_MS, signal: controller.signal });
      await clock.advance(TTL_MS);
      const asks = lock.count("acquire");

      controller.abort();
      const state = await stateOf(waiting);
      const asksForAbort = lock.count("acquire") - asks;
      const timersLeft = clock.pendingTimers - timers;
      await held.release();

      expect([state, asksForAbort, timersLeft]).toEqual(["ABORTED", 0, 0]);
      expect([await lock.isTaken("k"), lock.watches.size]).toEqual([false, 0]);
      expect(getEventListeners(controller.signal, "abort")).toEqual([]);
      expect((await hold("k")).keys).toEqual(["k"]);
    },
  );

  it.each([0, WAIT_MS])("ends at once while its call is under way, and undoes what that wins (wait %i)", async (waitMs) => {
    const answers: Deferred<void>[] = [];
    const { acquire, clock, lock } = openHolding(answeringLate(answers));
    const controller = new AbortController();
    const waiting = acquire("k", { waitMs, signal: controller.signal });
    await settle();

    controller.abort();
    const state = await stateOf(waiting);
    answers[0]?.resolve();
    await settle();

    expect([state, answers.length]).toEqual(["ABORTED", 1]);
    expect([await lock.isTaken("k"), clock.pendingTimers]).toEqual([false, 0]);
  });

  it("gives up the place that a call under way makes only after the abort", async () => {
    const reach = deferred();
    const { acquire, other, lock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          if (options.queue === true) await reach.promise;
          return inner.acquire(key, options);
        },
      }),
    });
    const controller = new AbortController();
    const held = await other().hold("k");
    const waiting = acquire("k", { waitMs: WAIT_MS, signal: controller.signal });
    await settle();

    controller.abort();
    const state = await stateOf(waiting);
    reach.resolve();
    await settle();
    await held.release();

    expect(state).toBe("ABORTED");
    expect(await lock.isTaken("k")).toBe(false);
  });

  it.each([0, WAIT_MS])("that comes in the very moment of the win leaves nothing on the server (wait %i)", async (waitMs) => {
    const controller = new AbortController();
    const { acquire, lock, clock } = openHolding({
      replace: (inner) => ({
        async acquire(key, options) {
          const attempt = await inner.acquire(key, options);
          controller.abort();
          return attempt;
        },
      }),
    });

    const outcome = await rejectionOf(acquire("k", { waitMs, signal: controller.signal }));
    await settle();

    expect(outcome).toBe("ABORTED");
    expect([await lock.isTaken("k"), clock.pendingTimers]).toEqual([false, 0]);
  });

  it("throws the signal's own reason where that is one of ours, and keeps any other as the cause", async () => {
    const { acquire } = openHolding();
    const ours = new ExclaimError("HOLD_EXCEEDED", "too long");

    const first = await acquire("k", { signal: AbortSignal.abort(ours) }).catch((error: unknown) => error);
    const second = await acquire("k", { signal: AbortSignal.abort("stop") }).catch((error: unknown) => error);

    expect(first).toBe(ours);
    expect(second).toMatchObject({ code: "ABORTED", cause: "stop" });
  });

  it("has no effect on a lock that is held already", async () => {
    const { hold } = openHolding();
    const controller = new AbortController();
    const held = await hold("k", { signal: controller.signal });

    controller.abort();

    expect(held.signal.aborted).toBe(false);
    expect(await held.release()).toBe(true);
  });

  // Planted: a listener for each waiter. Node warns of a leak from the eleventh on.
  it("shares one listener of a signal among all who wait, and leaves none", async () => {
    const { acquire, other, clock } = openHolding();
    const controller = new AbortController();
    await other().hold("k");
    const waiting = Array.from({ length: 100 }, () => acquire("k", { waitMs: 1_000, signal: controller.signal }));
    await settle();

    const during = getEventListeners(controller.signal, "abort").length;
    await clock.advance(1_000);
    await Promise.all(waiting);

    expect([during, getEventListeners(controller.signal, "abort").length]).toEqual([1, 0]);
  });
});

/** The server does what it is asked, but its answer is on its way until the test lets it through. */
function answeringLate(answers: Deferred<void>[]): LockScript {
  return {
    replace: (inner: LockBackend) => ({
      async acquire(key, options): Promise<LockAttempt> {
        const attempt = await inner.acquire(key, options);
        const answer = deferred();
        answers.push(answer);
        await answer.promise;
        return attempt;
      },
    }),
  };
}
