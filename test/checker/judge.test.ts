import { describe, expect, it } from "vitest";
import { badHistories } from "./bad-histories.ts";
import { all, altered, baseHistory, without } from "./base-history.ts";
import { badDeaths, goodDeaths, unjudgedDeaths } from "./death-histories.ts";
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
      figures: { unknownAnswers: 0, duplicateEffects: 0, lockOverlapMs: 0, deathsJudged: 0 },
      judged: ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13"],
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

describe("the checker, of deaths in a run on real servers,", () => {
  const REAL_RUN = { clockErrorMs: 20 };

  it.each(badDeaths)("rejects: %s", (_, change) => {
    const { verdict, violations, figures } = judge(change(baseHistory()), REAL_RUN);

    expect(verdict).toBe("invalid");
    expect(violations.map(({ invariant }) => invariant)).toEqual(["I13"]);
    expect(violations[0]?.events.map(({ what }) => what)).toEqual(["started", "fault"]);
    expect(figures?.deathsJudged).toBe(1);
  });

  it.each(goodDeaths)("accepts: %s", (_, change) => {
    const { violations, figures } = judge(change(baseHistory()), REAL_RUN);

    expect(violations).toEqual([]);
    expect(figures?.deathsJudged).toBe(1);
  });

  it.each(unjudgedDeaths)("does not judge one when %s", (_, change) => {
    const { violations, figures } = judge(change(baseHistory()), REAL_RUN);

    expect(violations.filter(({ sentence }) => sentence.includes("was not served again"))).toEqual([]);
    expect(figures?.deathsJudged).toBe(0);
  });
});

describe("a history that shows nothing bad is unknown", () => {
  it.each([
    ["when it is empty", () => []],
    ["without its end", without("frame", { mark: "ended" })],
    ["without the dumps at the end", altered("frame", { mark: "ended" }, { hasDump: false })],
    ["when no fault hit", without("fault", { phase: "hit" })],
    ["without the moment from which on no fault was left", without("frame", { mark: "calm" })],
    ["without the time within which all had to be done", altered("frame", { mark: "calm" }, { withinMs: Number.NaN })],
    [
      "when a witness that was promised saw nothing",
      all(altered("frame", { mark: "began" }, { witnesses: ["owner"] }), without("owner", {})),
    ],
    ["when a process that served left no log", altered("frame", { mark: "ended" }, { processes: ["pod-1.1", "pod-2.1"] })],
    [
      "when nothing was completed",
      all(
        without("final-claim", {}),
        without("final-message", {}),
        without("final-row", {}),
        (events) => events.filter(({ what, at }) => what === "frame" || what === "fault" || at <= 3),
        altered("frame", { mark: "began" }, { rows: 0 }),
        without("sent", {}),
      ),
    ],
  ])("%s", (_, change) => {
    const { verdict, reason } = judge(change(baseHistory()), ANY_SIZE);

    expect(verdict).toBe("unknown");
    expect(reason).toBeDefined();
  });

  it("and names what nobody saw, and who logged nothing", () => {
    const blind = all(altered("frame", { mark: "began" }, { witnesses: ["fault", "leased"] }), without("leased", {}));
    const silent = altered("frame", { mark: "ended" }, { processes: ["pod-1.1", "pod-2.1"] });

    expect(judge(blind(baseHistory()), ANY_SIZE).reason).toBe("no leased was seen, and this run shows them");
    expect(judge(silent(baseHistory()), ANY_SIZE).reason).toBe("nothing was logged by pod-2.1, which served");
  });

  it("and tells which invariants had nothing to judge", () => {
    const history = all(without("lock", {}), without("held", {}))(baseHistory());

    const { judged } = judge(history, ANY_SIZE);

    expect(judged).not.toContain("I10");
    expect(judged).not.toContain("I9");
    expect(judged).toContain("I1");
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

  it("when the only answers that were left out are those that the broker never gives", () => {
    const history = altered("settle", { phase: "ok" }, { phase: "info" })(baseHistory());

    expect(judge(history, { minOperations: 16 }).reason).toBe("no call was left without an answer");
  });

  it("and is invalid, not unknown, when it shows something bad", () => {
    const history = all(without("fault", {}), altered("token", { status: "completed" }, { token: 0 }))(baseHistory());

    expect(judge(history).verdict).toBe("invalid");
  });
});
