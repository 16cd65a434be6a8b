import { describe, expect, it } from "vitest";
import { importSummary, type Scores, tableOf, verdictOf } from "../../src/cli/demo/report.ts";
import type { Score } from "../../src/cli/demo/score.ts";

const CLEAN: Score = {
  users: 2_100,
  vouchers: 2_205,
  delivered: 2_268,
  withoutVoucher: 0,
  overwritten: 0,
  notifiedWrong: 0,
  doubled: 0,
  lost: 0,
  ms: 4_321,
};
const RACED: Score = { ...CLEAN, withoutVoucher: 1_800, overwritten: 260, notifiedWrong: 1_850, doubled: 70 };
const SHOWN: Scores = { naive: RACED, lockAfterRead: RACED, withClaim: CLEAN };

describe("tableOf", () => {
  it("gives each handler one row under a heading", () => {
    const lines = tableOf(SHOWN).split("\n");

    expect(lines).toHaveLength(6);
    expect(lines[1]).toMatch(/^handler +users +vouchers +delivered +a voucher +overwritten +another's +two +lost +taken$/);
    expect(lines[3]).toMatch(/^read, then update +2,100 +2,205 +2,268 +1,800 +260 +1,850 +70 +0 +4\.3 s$/);
    expect(lines[4]).toMatch(/^lock after the read +2,100 /);
    expect(lines[5]).toMatch(/^withClaim\(\) +2,100 +2,205 +2,268 +0 +0 +0 +0 +0 +4\.3 s$/);
  });

  it("lines its columns up", () => {
    const lines = tableOf(SHOWN).split("\n");

    const ends = lines.slice(1).map((line) => line.length);
    expect(new Set(ends).size).toBe(1);
  });
});

describe("verdictOf", () => {
  it("is content when the naive handler failed and withClaim did not", () => {
    expect(verdictOf(SHOWN).ok).toBe(true);
  });

  it.each(["withoutVoucher", "overwritten", "notifiedWrong", "doubled", "lost"] as const)(
    "is not content when withClaim has one %s",
    (fault) => {
      expect(verdictOf({ ...SHOWN, withClaim: { ...CLEAN, [fault]: 1 } }).ok).toBe(false);
    },
  );

  it("is not content when the naive handler made no mistake, for then nothing was shown", () => {
    expect(verdictOf({ ...SHOWN, naive: CLEAN }).ok).toBe(false);
  });

  it("asks nothing of the handler that locks after the read", () => {
    expect(verdictOf({ ...SHOWN, lockAfterRead: CLEAN }).ok).toBe(true);
  });
});

describe("importSummary", () => {
  it("counts the rows and names those it rejected by line and reason", () => {
    const summary = importSummary({ rows: 12, users: 9, duplicates: 2, rejected: [{ line: 7, reason: "no name" }] });

    expect(summary).toBe("12 rows read: 9 users, 2 of them listed twice\n  line 7 rejected: no name");
  });
});
