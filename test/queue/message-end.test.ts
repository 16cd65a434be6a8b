import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { Judgement, Served } from "../../src/queue/deliver-message.ts";
import { endOf } from "../../src/queue/message-end.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import type { Disposition } from "../../src/settle/policy.ts";

const fault = new RangeError("no such address");
const complete: Disposition = { do: "complete", result: undefined };
const fail: Disposition = { do: "fail", error: fault };

const served = (disposition: Disposition, outcome: Outcome | undefined, resourceId?: string): Served => ({
  disposition,
  outcome,
  resourceId,
  isDealtWith: false,
  claimant: "7",
});

const failure = (): Judgement => "failure";

describe("the end of a message that is done", () => {
  it.each<[string, Outcome, object]>([
    ["completed", { status: "completed", result: 1 }, { status: "completed", resourceId: "1" }],
    ["replayed", { status: "replayed", result: 1 }, { status: "replayed" }],
  ])("is that of its claim: %s", (_status, outcome, end) => {
    expect(endOf(served(complete, outcome, "1"), true, failure)).toEqual(end);
  });

  it.each<[string, Outcome, string, true | undefined]>([
    ["of an empty pool", { status: "empty" }, "empty: the pool has no free row", true],
    [
      "of a row that is taken",
      { status: "taken" },
      "taken: the picked row is not free: somebody has it, or where does not hold",
      true,
    ],
    [
      "of contention",
      { status: "contended", retryAfterMs: 0 },
      "contended: another delivery is at work, or it is too early for the next",
      true,
    ],
    [
      "of a lost claim, which may be completed all the same",
      { status: "lost", error: new ExclaimError("LEASE_LOST", "the lease is over") },
      "the lease is over",
      undefined,
    ],
    [
      "of a claim that was given back",
      { status: "completed", result: 1, isReleased: true },
      "released: the handler gave its row back",
      undefined,
    ],
  ])("is a refusal where a rule or its handler lets it go without a row: %s", (_what, outcome, message, hasNoClaim) => {
    const end = endOf(served(complete, outcome, "1"), true, failure);

    expect(end).toMatchObject({ status: "given-up", error: { code: "REFUSED", message } });
    expect((end as { hasNoClaim?: boolean }).hasNoClaim).toBe(hasNoClaim);
  });
});

describe("a message that is not done", () => {
  it.each<[string, Disposition, boolean, Judgement, boolean]>([
    ["a retry", { do: "retry", delayMs: 0 }, true, "failure", false],
    ["a dead letter", { do: "dead-letter", error: fault }, false, "failure", true],
    ["a failure with attempts left", fail, false, "failure", false],
    ["a failure at the last attempt", fail, true, "failure", true],
    ["a final failure", fail, false, "final", true],
    ["a message that its handler put off, at the last attempt", fail, true, "pause", false],
  ])("ends, or not: %s", (_what, disposition, lastAttempt, judgement, isEnd) => {
    const end = endOf(served(disposition, { status: "failed", error: fault }), lastAttempt, () => judgement);

    expect(end).toEqual(isEnd ? { status: "given-up", error: fault } : undefined);
  });

  it("has no claim to look for where that was just refused", () => {
    const end = endOf(served(fail, { status: "empty" }), true, failure);

    expect(end).toEqual({ status: "given-up", error: fault, hasNoClaim: true });
  });
});
