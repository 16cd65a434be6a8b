import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { EventSource } from "../../src/events.ts";
import type { Guard, Renewal, Renewer } from "../../src/lease/guard.ts";
import { Lease } from "../../src/lease/lease.ts";
import { LeaseKeeper } from "../../src/lease/lease-keeper.ts";
import { ManualClock, settle } from "../support/manual-clock.ts";
import { type Deferred, deferred } from "./open-holding.ts";

const TTL_MS = 3_000;

// Planted: renewals counted from their answers; one failure that ends the lease, or ends its renewal; no pause after a failure; an answer
// of before a drop that counts after it; a lost lease that a late answer revives; a guard added late that is not renewed; a timer for each
// lease; a call for each lease; a silent server that is waited for; a loss that is told twice. Each made a test here fail.
describe("the keeper of leases", () => {
  it("renews a guard at each third of its ttl, counted from when the call that won it was sent", async () => {
    const { clock, keeper, lease, renewals } = open();
    const sentAtMs = clock.now();
    clock.stall(400);

    keeper.keep(lease(), guardOf(renewals), sentAtMs);
    await clock.advance(5_600);

    expect(renewals.atMs(sentAtMs)).toEqual([1_000, 2_000, 3_000, 4_000, 5_000, 6_000]);
  });

  it("renews at thirds also where answers take their time", async () => {
    const { clock, keeper, lease, renewals } = open();
    renewals.renew = async (refs) => {
      await new Promise<void>((resolve) => void clock.after(400, resolve));
      return refs.map(() => "kept");
    };
    const startMs = clock.now();

    keeper.keep(lease(), guardOf(renewals), startMs);
    await clock.advance(4_000);

    expect(renewals.atMs(startMs)).toEqual([1_000, 2_000, 3_000, 4_000]);
  });

  it("sends none again that is on its way for less than a sixth of the ttl, though others are due", async () => {
    const { clock, keeper, lease, renewals } = open();
    renewals.renew = async (refs) => {
      await new Promise<void>((resolve) => void clock.after(400, resolve));
      return refs.map(() => "kept");
    };
    const others = renewer();
    const startMs = clock.now();
    keeper.keep(lease(), guardOf(others, 450), startMs);

    keeper.keep(lease(), guardOf(renewals), startMs);
    await clock.advance(3_600);

    expect(renewals.calls.length).toBeLessThanOrEqual(4);
    expect(others.calls.length).toBeGreaterThan(20);
  });

  it("trusts a renewal from when it was sent, not from its answer", async () => {
    const { clock, keeper, lease, renewals } = open();
    const kept = lease();
    const answers: Deferred<void>[] = [];
    renewals.renew = async (refs) => {
      const answer = deferred();
      answers.push(answer);
      await answer.promise;
      return refs.map(() => "kept");
    };
    keeper.keep(kept, guardOf(renewals), clock.now());
    const startMs = clock.now();
    await clock.advance(2_500);

    answers[0]?.resolve();
    await settle();

    expect(kept.untilMs - startMs).toBe(3_940);
  });

  it("tries again after a twelfth of the ttl, until the deadline and not beyond", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    renewals.renew = () => Promise.reject(new ExclaimError("LOCK_UNREACHABLE", "no quorum"));
    const startMs = clock.now();

    keeper.keep(lease(), guardOf(renewals), startMs);
    await clock.advance(60_000);

    expect(renewals.atMs(startMs)).toEqual([1_000, 1_250, 1_500, 1_750, 2_000, 2_250, 2_500, 2_750]);
    expect(lost).toEqual([["LEASE_LOST", 2_940]]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps a lease whose server is away for less than its deadline, and tells of each failure", async () => {
    const { clock, keeper, lease, renewals, lost, told } = open();
    let isAway = true;
    renewals.renew = async (refs) => {
      if (isAway) throw new ExclaimError("LOCK_UNREACHABLE", "no quorum");
      return refs.map(() => "kept");
    };
    keeper.keep(lease(), guardOf(renewals), clock.now());
    await clock.advance(2_600);

    isAway = false;
    await clock.advance(60_000);

    expect(lost).toEqual([]);
    expect(told.length).toBe(7);
  });

  it("L6 asks again when it is not answered, so that one hung call does not cost the lease", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    let calls = 0;
    renewals.renew = (refs) => {
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : Promise.resolve(refs.map(() => "kept" as const));
    };
    const startMs = clock.now();

    keeper.keep(lease(), guardOf(renewals), startMs);
    await clock.advance(10_000);

    expect(renewals.atMs(startMs).slice(0, 3)).toEqual([1_000, 1_500, 2_500]);
    expect(lost).toEqual([]);
  });

  it("L6 ends a lease whose renewals all hang at its deadline, after a few calls", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    renewals.renew = () => new Promise(() => {});
    const startMs = clock.now();

    keeper.keep(lease(), guardOf(renewals), startMs);
    await clock.advance(60_000);

    expect(renewals.atMs(startMs)).toEqual([1_000, 1_500, 2_000, 2_500]);
    expect(lost).toEqual([["LEASE_LOST", 2_940]]);
  });

  it.each(["kept", "lost"] as const)(
    "ends a lease at once that is somebody else's, and it stays dead though %s is answered later",
    async (later) => {
      const { clock, keeper, lease, renewals, lost } = open();
      const answers: Deferred<Renewal>[] = [];
      renewals.renew = async () => {
        const answer = deferred<Renewal>();
        answers.push(answer);
        return [await answer.promise];
      };
      const kept = lease();
      keeper.keep(kept, guardOf(renewals), clock.now());
      await clock.advance(1_800);

      answers[1]?.resolve("lost");
      await settle();
      answers[0]?.resolve(later);
      await clock.advance(60_000);

      expect(lost).toEqual([["LEASE_LOST", 1_800]]);
      expect([kept.isLost(), kept.signal.aborted, answers.length]).toEqual([true, true, 2]);
    },
  );

  it("does not revive a lease whose deadline passed before the renewal was answered", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const answer = deferred();
    renewals.renew = async (refs) => {
      await answer.promise;
      return refs.map(() => "kept");
    };
    const kept = lease();
    keeper.keep(kept, guardOf(renewals), clock.now());
    await clock.advance(1_000);

    clock.stall(1_940);
    answer.resolve();
    await clock.advance(1_000);

    expect([lost, kept.isLost()]).toEqual([[["LEASE_LOST", 2_940]], true]);
  });

  it("keeps a lease to the earliest of its guards, also of one that is added late", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const other = renewer();
    other.renew = () => Promise.reject(new Error("away"));
    const kept = lease();
    keeper.keep(kept, guardOf(renewals, 30_000), clock.now());
    await clock.advance(5_000);
    const startMs = clock.now();

    keeper.keep(kept, guardOf(other, 1_200), startMs);
    await clock.advance(30_000);

    expect(other.atMs(startMs).slice(0, 3)).toEqual([400, 500, 600]);
    expect(lost).toEqual([["LEASE_LOST", 5_000 + 1_176]]);
  });

  it("renews no more what was dropped, and hears no answer about it", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const answer = deferred<readonly Renewal[]>();
    renewals.renew = () => answer.promise;
    const kept = lease();
    keeper.keep(kept, guardOf(renewals), clock.now());
    await clock.advance(1_000);

    keeper.drop(kept);
    answer.resolve(["lost"]);
    await clock.advance(60_000);

    expect([lost, renewals.calls.length, clock.pendingTimers]).toEqual([[], 1, 0]);
  });

  it("renews at once what it takes up again, and hears no answer of before", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const answers: Deferred<readonly Renewal[]>[] = [];
    renewals.renew = () => {
      const answer = deferred<readonly Renewal[]>();
      answers.push(answer);
      return answer.promise;
    };
    const kept = lease();
    keeper.keep(kept, guardOf(renewals), clock.now());
    await clock.advance(1_000);
    keeper.drop(kept);
    await clock.advance(500);
    const startMs = clock.now();

    keeper.resume(kept);
    await clock.advance(0);
    answers[0]?.resolve(["lost"]);
    answers[1]?.resolve(["kept"]);
    await clock.advance(1_000);

    expect(renewals.atMs(startMs)).toEqual([-500, 0, 1_000]);
    expect(lost).toEqual([]);
  });

  it("stops with everything: no timer, no call, no answer heard", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const answer = deferred<readonly Renewal[]>();
    renewals.renew = () => answer.promise;
    keeper.keep(lease(), guardOf(renewals), clock.now());
    await clock.advance(1_000);

    keeper.stop();
    answer.resolve(["lost"]);
    await clock.advance(60_000);

    expect([lost, renewals.calls.length, clock.pendingTimers]).toEqual([[], 1, 0]);
  });

  it("is not stopped by an answer that is too short, by a renewer that throws, or by listeners that throw", async () => {
    const { clock, keeper, lease, renewals, events, lost } = open();
    events.on("background:failed", () => {
      throw new Error("no disk left for logs");
    });
    let calls = 0;
    renewals.renew = (refs) => {
      calls += 1;
      if (calls === 1) throw new TypeError("not a promise");
      return Promise.resolve(calls === 2 ? [] : refs.map(() => "kept" as const));
    };
    keeper.keep(lease(), guardOf(renewals), clock.now());

    await clock.advance(60_000);

    expect(lost).toEqual([]);
  });

  it("renews a thousand guards of different ttls on one timer, a hundred by each call", async () => {
    const { clock, keeper, lease, renewals, lost } = open();
    const startMs = clock.now();
    for (let index = 0; index < 1_000; index += 1) {
      keeper.keep(lease(), guardOf(renewals, 3_000 + (index % 10) * 3_000), startMs);
    }
    const timers = [clock.pendingTimers];

    for (let second = 0; second < 60; second += 1) {
      await clock.advance(1_000);
      timers.push(clock.pendingTimers);
    }

    expect(new Set(timers)).toEqual(new Set([1]));
    expect(Math.max(...renewals.calls.map(({ refs }) => refs.length))).toBe(100);
    // In sixty seconds the hundred of 3 s are renewed 60 times, those of 6 s 30 times, ... those of 30 s 6 times: 17,600 renewals.
    expect(renewals.calls.length).toBeLessThanOrEqual(220);
    expect(lost).toEqual([]);
  });

  it("brings guards that were won at different moments into the same calls", async () => {
    const { clock, keeper, lease, renewals } = open();
    for (let index = 0; index < 50; index += 1) {
      keeper.keep(lease(), guardOf(renewals), clock.now());
      await clock.advance(5);
    }
    await clock.advance(10_000);
    renewals.calls.length = 0;

    await clock.advance(10_000);

    expect(renewals.calls.length).toBeLessThanOrEqual(12);
  });
});

interface RecordedRenewer extends Renewer<number> {
  readonly calls: { readonly refs: readonly number[]; readonly atMs: number }[];
  renew(refs: readonly number[]): Promise<readonly Renewal[]>;
  /** When it was called, in ms since `startMs`. */
  atMs(startMs: number): readonly number[];
}

const clocks = { current: new ManualClock() };

function renewer(): RecordedRenewer {
  const calls: { refs: readonly number[]; atMs: number }[] = [];
  let renew: RecordedRenewer["renew"] = async (refs) => refs.map(() => "kept");
  return {
    calls,
    batch: 100,
    get renew() {
      return (refs: readonly number[]) => {
        calls.push({ refs, atMs: clocks.current.now() });
        return renew(refs);
      };
    },
    set renew(change) {
      renew = change;
    },
    atMs: (startMs) => calls.map((call) => call.atMs - startMs),
    lostBecause: () => "it is somebody else's",
    label: (ref) => `guard ${ref}`,
  };
}

let refs = 0;

function guardOf(of: RecordedRenewer, ttlMs = TTL_MS): Guard {
  refs += 1;
  return { ref: refs, ttlMs, renewer: of as Renewer<unknown> };
}

function open() {
  const clock = new ManualClock();
  clocks.current = clock;
  const startMs = clock.now();
  const events = new EventSource();
  const lost: [string, number][] = [];
  const told: unknown[] = [];
  events.on("background:failed", (event) => told.push(event));
  const lease = (): Lease =>
    new Lease({
      clock,
      about: {},
      maxHoldMs: undefined,
      onLost: ({ code }) => lost.push([code, clock.now() - startMs]),
    });
  return { clock, events, keeper: new LeaseKeeper({ clock, events }), lease, renewals: renewer(), lost, told };
}
