import { describe, expect, it } from "vitest";
import { badHistories } from "./bad-histories.ts";
import { all, altered, baseHistory, without } from "./base-history.ts";
import { goodHistories } from "./good-histories.ts";
import { judge } from "./judge.ts";
import { SIMULATED_RUN } from "./judge-options.ts";

const ANY_SIZE = { minOperations: 0, minUnknownAnswers: 0 };

describe("the checker", () => {
  it("accepts the base history, and tells what was tried", () => {
    const verdict = judge(baseHistory(), ANY_SIZE);

    expect(verdict).toEqual({
      verdict: "valid",
      violations: [],
      operations: 16,
      faultsHit: 1,
      figures: { unknownAnswers: 0, duplicateEffects: 0, lockOverlapMs: 0 },
    });
  });

  it.each(badHistories)("%s rejects: %s", (invariant, _, change) => {
    const { verdict, violations } = judge(change(baseHistory()), SIMULATED_RUN);

    expect(verdict).toBe("invalid");
    expect(violations.map((violation) => violation.invariant)).toContain(invariant);
    for (const { events } of violations) expect(events.length).toBeLessThanOrEqual(4);
  });

  it.each(goodHistories)("accepts: %s", (_, change) => {
    const verdict = judge(change(baseHistory()), SIMULATED_RUN);

    expect(verdict.violations).toEqual([]);
    expect(verdict.verdict).toBe("valid");
  });

  it("has at least two bad histories for each invariant, and forty in all", () => {
    const counts = new Map<string, number>();
    for (const [invariant] of badHistories) counts.set(invariant, (counts.get(invariant) ?? 0) + 1);

    expect(counts.size).toBe(13);
    expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(2);
    expect(badHistories.length).toBeGreaterThanOrEqual(40);
  });

  it("shows a row that was taken twice by the two events alone", () => {
    const [violation] = judge(badHistories[0]?.[2](baseHistory()) ?? [], SIMULATED_RUN).violations;

    expect(violation?.events.map((event) => event.what === "owner" && event.became)).toEqual(["a", "b"]);
  });

  it("counts effects that came again, by key", () => {
    const again = goodHistories.find(([what]) => what.startsWith("an effect comes twice"))?.[1];

    expect(judge(again?.(baseHistory()) ?? [], SIMULATED_RUN).figures?.duplicateEffects).toBe(1);
  });

  it("sums for how long a lock was had twice", () => {
    const forgot = goodHistories.find(([what]) => what.startsWith("a held lock is acquired"))?.[1];

    expect(judge(forgot?.(baseHistory()) ?? [], SIMULATED_RUN).figures?.lockOverlapMs).toBe(60);
  });
});

describe("a history that shows nothing bad is unknown", () => {
  it.each([
    ["when it is empty", () => []],
    ["without its end", without("frame", { mark: "ended" })],
    ["without the dumps at the end", altered("frame", { mark: "ended" }, { hasDump: false })],
    ["when no fault hit", without("fault", { phase: "hit" })],
  ])("%s", (_, change) => {
    const { verdict, reason } = judge(change(baseHistory()), ANY_SIZE);

    expect(verdict).toBe("unknown");
    expect(reason).toBeDefined();
  });

  it("when too little was tried", () => {
    expect(judge(baseHistory(), { minUnknownAnswers: 0 }).reason).toBe("16 operations are too few: 100 are asked for");
  });

  it("when every call was answered, so that no answer was ever lost", () => {
    expect(judge(baseHistory(), { minOperations: 16 }).reason).toBe("no call was left without an answer");
  });

  it("when an empty history is judged as one seed of many", () => {
    expect(judge([], SIMULATED_RUN).verdict).toBe("unknown");
  });

  it("but not when the process died before a call was answered", () => {
    const history = without("settle", { delivery: "m-a/1", phase: "ok" })(baseHistory());

    expect(judge(history, { minOperations: 16 })).toMatchObject({ verdict: "valid", figures: { unknownAnswers: 1 } });
  });

  it("and is invalid, not unknown, when it shows something bad", () => {
    const history = all(without("fault", {}), altered("token", { status: "completed" }, { token: 0 }))(baseHistory());

    expect(judge(history).verdict).toBe("invalid");
  });
});
