import { describe, expect, it } from "vitest";
import { ExclaimError, type ExclaimErrorCode } from "../../src/errors.ts";
import { decide } from "../../src/settle/decide.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import type { ClaimAgain, Disposition, SettlePolicy } from "../../src/settle/policy.ts";

const NO_CHANCE = 0;
const MOST_CHANCE = 0.999_999;

describe("a disposition", () => {
  it("of a completed or replayed claim is complete, with its result", () => {
    expect(settle({ status: "completed", result: 1 })).toEqual({ do: "complete", result: 1 });
    expect(settle({ status: "replayed", result: 2 })).toEqual({ do: "complete", result: 2 });
  });

  it("of a handler's error is fail, with that very error", () => {
    const error = new Error("no");

    expect((settle({ status: "failed", error }) as { error: unknown }).error).toBe(error);
  });

  it.each([
    "CLAIMANT_MISSING",
    "CLAIMANT_INVALID",
    "SCOPE_INVALID",
    "PICK_INVALID",
    "KEY_MISSING",
    "KEY_INVALID",
    "MESSAGE_INVALID",
    "RESULT_NOT_SERIALIZABLE",
  ] as const)("of %s is dead-letter: another attempt cannot mend it", (code) => {
    expect(settle({ status: "failed", error: fault(code) }).do).toBe("dead-letter");
  });

  it.each(["LOCK_UNREACHABLE", "DATABASE_UNREACHABLE", "SCHEMA_OUTDATED", "CLOSED"] as const)(
    "of %s before the handler ran is retry, however often the message was put off",
    (code) => {
      expect(settle({ status: "failed", error: fault(code) }, {}, 1_000_000)).toMatchObject({ do: "retry" });
    },
  );

  it("of a server lost while the handler ran is bounded: its effects are made again at each retry", () => {
    const lost: Outcome = { status: "lost", error: fault("DATABASE_UNREACHABLE") };

    expect(settle(lost, { maxDeferrals: 3 }, 2).do).toBe("retry");
    expect(settle(lost, { maxDeferrals: 3 }, 3).do).toBe("fail");
  });

  it.each(["POOL_INVALID", "CLAIM_REFUSED", "ROW_CHANGED", "CONFIG_INVALID"] as const)("of %s is fail", (code) => {
    expect(settle({ status: "failed", error: fault(code) }).do).toBe("fail");
  });

  it("by default puts off the contended and the lost, and fails the empty and the taken", () => {
    const doings = [
      settle({ status: "contended", retryAfterMs: 5_000 }),
      settle({ status: "lost", error: fault("LEASE_LOST") }),
      settle({ status: "empty" }),
      settle({ status: "taken" }),
    ].map((disposition) => disposition.do);

    expect(doings).toEqual(["retry", "retry", "fail", "fail"]);
  });

  it("follows a rule, fixed or a function of the context", () => {
    const policy: SettlePolicy<string> = {
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
      onTaken: ({ message, claimant, deferrals, attemptsMade, outcome }) => ({
        do: "complete",
        result: [message, claimant, deferrals, attemptsMade, outcome.status],
      }),
    };

    const empty = settle({ status: "empty" }, policy);

    expect(empty.do).toBe("dead-letter");
    expect((empty as { error: ExclaimError }).error).toMatchObject({ code: "REFUSED", message: "no vouchers left" });
    expect(settle({ status: "taken" }, policy, 3)).toEqual({ do: "complete", result: ["job", "7", 3, 1, "taken"] });
  });

  it("waits as told, else by backoff with jitter in its upper half, from 250 ms to 30 s", () => {
    const outcome: Outcome = { status: "contended", retryAfterMs: 600_000 };

    expect(delayOf(settle(outcome, { onContended: { do: "retry", delayMs: 7 } }))).toBe(7);
    expect(delayOf(settle(outcome, {}, 0, NO_CHANCE))).toBe(125);
    expect(delayOf(settle(outcome, {}, 0, MOST_CHANCE))).toBe(250);
    expect(delayOf(settle(outcome, {}, 3, MOST_CHANCE))).toBe(2_000);
    expect(delayOf(settle(outcome, {}, 900, MOST_CHANCE))).toBe(30_000);
  });

  it("comes back soon after the holder's lease is over, when that is sooner than the backoff", () => {
    expect(delayOf(settle({ status: "contended", retryAfterMs: 400 }, {}, 10, NO_CHANCE))).toBe(400);
    expect(delayOf(settle({ status: "contended", retryAfterMs: 400 }, {}, 10, MOST_CHANCE))).toBe(650);
  });

  // Planted: the hint taken as a bound however short; this test failed, and a job was used up within minutes.
  it("backs off to 4 s where a row is only locked, though the hint is short each time", () => {
    const locked: Outcome = { status: "contended", retryAfterMs: 100 };

    expect([0, 2, 4, 900].map((deferrals) => delayOf(settle(locked, {}, deferrals, MOST_CHANCE)))).toEqual([
      250, 1_000, 4_000, 4_000,
    ]);
  });

  // Planted: the bound left out; this test failed.
  it("L1 fails, visibly, what was put off maxDeferrals times", () => {
    const outcome: Outcome = { status: "contended", retryAfterMs: 1 };

    expect(settle(outcome, { maxDeferrals: 3 }, 2).do).toBe("retry");
    expect(settle(outcome, { maxDeferrals: 3 }, 3)).toMatchObject({ do: "fail", error: { code: "REFUSED" } });
    expect(settle(outcome, {}, 9_999).do).toBe("retry");
    expect(settle(outcome, {}, 10_000).do).toBe("fail");
  });
});

describe("a disposition of contention", () => {
  const held: Outcome = { status: "contended", retryAfterMs: 60_000 };

  // Planted: backoff and jitter for what is only too early; this test failed.
  it("that is only too early comes back at the very moment that it is not, however often it was put off", () => {
    const early: Outcome = { status: "contended", retryAfterMs: 9_876.2, tooEarly: true };

    expect([0, 5, 500].map((deferrals) => delayOf(settle(early, {}, deferrals, MOST_CHANCE)))).toEqual([9_877, 9_877, 9_877]);
  });

  it("may be to wait first, and then what the rule says, which is to retry unless it says more", () => {
    const wait = { do: "wait", upToMs: 5_000 } as const;

    expect(settle(held, { onContended: wait })).toEqual({ do: "wait", waitMs: 5_000 });
    expect(settleAfterWait(held, { onContended: wait }).do).toBe("retry");
    expect(settleAfterWait(held, { onContended: { ...wait, otherwise: { do: "dead-letter" } } }).do).toBe("dead-letter");
    expect(settleAfterWait(held, { onContended: () => wait }).do).toBe("retry");
    expect(settleAfterWait({ status: "completed", result: 1 }, { onContended: wait })).toEqual({ do: "complete", result: 1 });
  });

  // Planted: dropped whatever came before; a message whose own failed or dead delivery was in its way was completed.
  it("may be to drop the message, which is done then, unless it was begun or put off before", () => {
    const policy = { onContended: { do: "drop" } } as const;
    const facts = { message: "job", outcome: held, claimant: "7" };

    expect(decide(held, policy, { ...facts, deferrals: 0, attemptsMade: 0 }, 0)).toEqual({ do: "complete", result: undefined });
    expect(decide(held, policy, { ...facts, deferrals: 0, attemptsMade: 1 }, 0).do).toBe("retry");
    expect(decide(held, policy, { ...facts, deferrals: 1, attemptsMade: 0 }, 0).do).toBe("retry");
  });

  it("that is only too early is put off without a bound: a key's queue is served in its time", () => {
    const early: Outcome = { status: "contended", retryAfterMs: 1_000, tooEarly: true };

    expect(settle(early, { maxDeferrals: 3 }, 1_000)).toEqual({ do: "retry", delayMs: 1_000 });
  });
});

function settleAfterWait(outcome: Outcome, policy: SettlePolicy<string>): Disposition {
  return decide(outcome, policy, { message: "job", outcome, claimant: "7", deferrals: 0, attemptsMade: 1 }, 0.5, true);
}

function settle(outcome: Outcome, policy: SettlePolicy<string> = {}, deferrals = 0, fraction = 0.5): Disposition | ClaimAgain {
  return decide(outcome, policy, { message: "job", outcome, claimant: "7", deferrals, attemptsMade: 1 }, fraction);
}

function delayOf(disposition: Disposition | ClaimAgain): number {
  return disposition.do === "retry" ? disposition.delayMs : Number.NaN;
}

function fault(code: ExclaimErrorCode): ExclaimError {
  return new ExclaimError(code, "planted");
}
