import { describe, expect, it } from "vitest";
import { asClaimed, type CreateLedger, LAPSE_MS, LONG_TTL_MS, openLedger, refusalOf, SHORT_TTL_MS } from "./fixture.ts";

/** Which row a claimant gets, and what it is told when it gets none. */
export function claimingRules(create: CreateLedger): void {
  describe("a first claim", () => {
    it("C1 gives a free row, writes its owner and answers with the row as it is then", async () => {
      const driver = await openLedger(create, { rows: 1 });

      const answer = await driver.claimed("7");

      expect(answer).toMatchObject({ attempt: 1, resumed: false, row: { code: "CODE-1", status: "free" } });
      expect(String(answer.row.user_id)).toBe("7");
      expect(answer.claim).toMatchObject({ claimant: "7", resourceId: "1" });
      expect(await driver.owners()).toEqual({ 1: "7" });
      const held = { ...answer.claim, status: "held", attempt: 1 };
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining(held)]);
    });

    it("C1 answers a batch in the order asked", async () => {
      const driver = await openLedger(create, { rows: 3 });

      const answers = await driver.claimMany(["30", "10", "20"]);

      const claims = answers.map((answer) => asClaimed(answer).claim);
      expect(claims.map((claim) => claim.claimant)).toEqual(["30", "10", "20"]);
      const owners = await driver.owners();
      expect(claims.map((claim) => owners[claim.resourceId])).toEqual(["30", "10", "20"]);
    });

    it("C1 gives each of a batch a row of its own", async () => {
      const driver = await openLedger(create, { rows: 5, definition: { orderBy: "id" } });

      const answers = await driver.claimMany(["1", "2", "3", "4", "5"]);

      const ids = answers.map((answer) => asClaimed(answer).claim.resourceId);
      expect(ids.toSorted()).toEqual(["1", "2", "3", "4", "5"]);
    });

    it("C1 answers an empty batch with nothing", async () => {
      const driver = await openLedger(create, { rows: 1 });

      const answers = await driver.claimMany([]);

      expect(answers).toEqual([]);
    });

    it("C11 takes rows in the order of the definition", async () => {
      const driver = await openLedger(create, { rows: 4, definition: { orderBy: "campaign_id desc, id" } });
      await driver.fixture.writeRow("2", { campaign_id: 10 });
      await driver.fixture.writeRow("4", { campaign_id: 9 });

      const ids: string[] = [];
      for (const claimant of ["7", "8", "9", "10"]) ids.push((await driver.claimed(claimant)).claim.resourceId);

      expect(ids).toEqual(["2", "4", "1", "3"]);
    });

    it("C11 passes over rows for which where does not hold, and answers empty when they are all", async () => {
      const driver = await openLedger(create, { rows: 3, definition: { where: { status: "free", code: null } } });
      await driver.fixture.writeRow("1", { status: "revoked", code: null });
      await driver.fixture.writeRow("3", { code: null });

      const answers = [await driver.claim("7"), await driver.claim("8")];

      expect(asClaimed(answers[0]).claim.resourceId).toBe("3");
      expect(answers[1]).toEqual({ status: "empty" });
    });

    it("C11 passes over rows that somebody owns without a claim", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.fixture.writeRow("1", { user_id: 99 });

      const answers = [await driver.claim("7"), await driver.claim("8")];

      expect(asClaimed(answers[0]).claim.resourceId).toBe("2");
      expect(answers[1]).toEqual({ status: "empty" });
      expect(await driver.owners()).toEqual({ 1: "99", 2: "7" });
    });

    it("S6 answers empty to those of a batch for whom no row is left", async () => {
      const driver = await openLedger(create, { rows: 2 });

      const answers = await driver.claimMany(["1", "2", "3"]);

      expect(answers.map((answer) => answer.status).toSorted()).toEqual(["claimed", "claimed", "empty"]);
      expect(Object.keys(await driver.holders()).toSorted()).toEqual(["1", "2"]);
    });

    it("S6 answers empty before rows come, and claims one that came since", async () => {
      const driver = await openLedger(create, { rows: 1 });
      await driver.fixture.writeRow("1", { user_id: 99 });
      const before = await driver.claim("7");
      await driver.fixture.writeRow("1", { user_id: null });

      const after = await driver.claim("7");

      expect(before).toEqual({ status: "empty" });
      expect(asClaimed(after).claim.resourceId).toBe("1");
    });
  });

  describe("a claimant with a live lease", () => {
    it("C2 is contended for another holder, with the rest of the lease as the hint", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.claimed("7", { ttlMs: LONG_TTL_MS });

      const answer = await driver.claim("7");

      if (answer.status !== "contended") throw new Error(`The claim was answered ${answer.status}.`);
      expect(answer.retryAfterMs).toBeGreaterThan(20_000);
      expect(answer.retryAfterMs).toBeLessThanOrEqual(30_000);
      expect(Object.values(await driver.owners()).filter((owner) => owner === "7")).toEqual(["7"]);
    });

    it("S2 gets one row when a batch asks for it twice: the first request is answered, the others are contended", async () => {
      const driver = await openLedger(create, { rows: 4 });

      const answers = await driver.claimMany(["7", "8", "7", "7"]);

      expect(answers.map((answer) => answer.status)).toEqual(["claimed", "claimed", "contended", "contended"]);
      for (const answer of answers.slice(2)) expect(answer).toHaveProperty("retryAfterMs", expect.any(Number));
      expect(Object.values(await driver.holders()).toSorted()).toEqual(["7", "8"]);
    });

    it("S2 gets what its first request asks for when a batch asks for two rows, or for one that is not there", async () => {
      const driver = await openLedger(create, { rows: 3 });
      const picks = [
        ["7", "2"],
        ["8", "99"],
        ["7", "3"],
        ["8", "1"],
      ] as const;
      const requests = picks.map(([claimant, pick], index) => {
        return { scope: {}, claimant, holder: `holder-${index}`, messageId: null, pick };
      });

      const { ledger, pool } = driver.fixture;
      const answers = await ledger.claim({ pool, ttlMs: LONG_TTL_MS, rerun: false, requests });

      expect(answers.map((answer) => answer.status)).toEqual(["claimed", "empty", "contended", "contended"]);
      expect(await driver.owners()).toEqual({ 1: null, 2: "7", 3: null });
    });

    it("S5 is answered with the same claim when the same holder asks again, its answer lost", async () => {
      const driver = await openLedger(create, { rows: 3 });
      const first = await driver.claimed("7", { holder: "lost-answer" });

      const again = await driver.claimed("7", { holder: "lost-answer" });

      expect(again).toEqual(first);
      expect(Object.values(await driver.holders())).toEqual(["7"]);
    });

    it("S5 is answered with the same resumed claim when the answer to a resume was lost", async () => {
      const driver = await openLedger(create, { rows: 1 });
      await driver.fail((await driver.claimed("7")).claim);
      const resumed = await driver.claimed("7", { holder: "lost-answer" });

      const again = await driver.claimed("7", { holder: "lost-answer" });

      expect(again).toEqual(resumed);
      expect(again).toMatchObject({ attempt: 2, resumed: true });
    });

    it("S5 has its lease set anew when the same holder asks again, also after it was over", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7", { holder: "lost-answer", ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      const again = await driver.claimed("7", { holder: "lost-answer", ttlMs: LONG_TTL_MS });

      const other = await driver.claim("7");

      expect(again.claim.token).toBe(first.claim.token);
      expect(again.attempt).toBe(1);
      expect(other.status).toBe("contended");
    });
  });

  describe("a claimant in the owner column's own type", () => {
    it("C3 is the same claimant in every spelling of its number", async () => {
      const driver = await openLedger(create, { rows: 3 });

      const [first, second] = await driver.claimMany(["07", "7"]);
      const third = await driver.claim("+7");

      expect(asClaimed(first).claim.claimant).toBe("7");
      expect([second?.status, third.status]).toEqual(["contended", "contended"]);
      expect(Object.values(await driver.owners()).filter((owner) => owner !== null)).toEqual(["7"]);
    });

    it("C3 stays itself beyond the whole numbers a double can tell apart", async () => {
      const driver = await openLedger(create, { rows: 2 });

      const answers = await driver.claimMany(["9007199254740992", "9007199254740993"]);

      expect(answers.map((answer) => asClaimed(answer).claim.claimant)).toEqual(["9007199254740992", "9007199254740993"]);
      expect(Object.values(await driver.owners()).toSorted()).toEqual(["9007199254740992", "9007199254740993"]);
    });

    it("C3 is refused alone when it does not fit, and the others of its batch are claimed", async () => {
      const driver = await openLedger(create, { rows: 4 });

      const answers = await driver.claimMany(["7", "abc", "8", "9223372036854775808", "7.5"]);

      expect(answers.map((answer) => answer.status)).toEqual(["claimed", "refused", "claimed", "refused", "refused"]);
      for (const index of [1, 3, 4]) expect(refusalOf(answers[index])).toBe("CLAIMANT_INVALID");
      expect(Object.values(await driver.holders()).toSorted()).toEqual(["7", "8"]);
    });

    it("C3 is taken letter for letter when the column is text", async () => {
      const claimants = [
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "7",
        "07",
        " 7",
        "7 ",
        "null",
        "NULL",
        "o'brien",
        'a "quoted" one',
        "back\\slash",
        "'); drop table claims; --",
        "a;b,c:d",
        '{a,"b"}',
        "$1",
        "line\nbreak\ttab",
        "🎟️👩‍👩‍👧",
        "é",
        "e\u0301",
        "Ä",
        "ä",
      ];
      const driver = await openLedger(create, { rows: 22, ownerType: "text" });

      const answers = await driver.claimMany(claimants);

      expect(answers.map((answer) => asClaimed(answer).claim.claimant)).toEqual(claimants);
      const owners = new Map(Object.entries(await driver.owners()));
      expect(answers.map((answer) => owners.get(asClaimed(answer).claim.resourceId))).toEqual(claimants);
      expect(Object.values(await driver.holders()).toSorted()).toEqual(claimants.toSorted());
    });

    it("C3 is found again under its very text when the column is text", async () => {
      const driver = await openLedger(create, { rows: 4, ownerType: "text" });
      const claimants = ["__proto__", "'); --", "🎟️"];
      for (const claimant of claimants) await driver.complete((await driver.claimed(claimant)).claim, `"${claimant}"`);

      const answers = await driver.claimMany(claimants);

      expect(answers).toEqual([
        { status: "replayed", result: '"__proto__"' },
        { status: "replayed", result: '"\'); --"' },
        { status: "replayed", result: '"🎟️"' },
      ]);
    });
  });
}
