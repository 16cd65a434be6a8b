import { describe, expect, it } from "vitest";
import { asClaimed, type CreateLedger, LAPSE_MS, type LedgerDriver, openLedger, refusalOf, SHORT_TTL_MS } from "./fixture.ts";

/** Which part of a pool a claim is about: scopes, rows picked by id, tables without an owner column, rows others wrote. */
export function choosingRules(create: CreateLedger): void {
  describe("a scope", () => {
    it("C9 gives only rows of its own, and answers empty when they are gone", async () => {
      const driver = await openTwoCampaigns(create);

      const answers = await driver.claimMany(["7", "8", "9"], { scope: { campaign_id: 42 } });

      expect(answers.map((answer) => answer.status).toSorted()).toEqual(["claimed", "claimed", "empty"]);
      expect(Object.keys(await driver.holders()).toSorted()).toEqual(["3", "4"]);
    });

    it("C9 has claimants of its own: the same one has a row in each", async () => {
      const driver = await openTwoCampaigns(create);

      const inOne = await driver.claimed("7", { scope: { campaign_id: 1 } });
      const inOther = await driver.claimed("7", { scope: { campaign_id: 42 } });
      await driver.complete(inOne.claim, '"one"');
      await driver.complete(inOther.claim, '"other"');

      expect(["1", "2"]).toContain(inOne.claim.resourceId);
      expect(["3", "4"]).toContain(inOther.claim.resourceId);
      expect(inOne.claim.scope).not.toBe(inOther.claim.scope);
      expect(await driver.claim("7", { scope: { campaign_id: 1 } })).toEqual({ status: "replayed", result: '"one"' });
      expect(await driver.claim("7", { scope: { campaign_id: 42 } })).toEqual({ status: "replayed", result: '"other"' });
    });

    it("C9 is the same in every spelling of its number", async () => {
      const driver = await openTwoCampaigns(create);
      const first = await driver.claimed("7", { scope: { campaign_id: 42 }, holder: "same" });

      const asText = await driver.claim("7", { scope: { campaign_id: "42" }, holder: "same" });
      const padded = await driver.claim("7", { scope: { campaign_id: "042" }, holder: "same" });
      const asBigint = await driver.claim("7", { scope: { campaign_id: 42n }, holder: "same" });

      expect(asClaimed(asText).claim).toEqual(first.claim);
      expect(asClaimed(padded).claim).toEqual(first.claim);
      expect(asClaimed(asBigint).claim).toEqual(first.claim);
    });

    it("C9 of two columns is the same in any order, and another than of one", async () => {
      const driver = await openTwoCampaigns(create);
      const first = await driver.claimed("7", { scope: { campaign_id: 42, status: "free" }, holder: "same" });

      const reordered = await driver.claimed("7", { scope: { status: "free", campaign_id: 42 }, holder: "same" });
      const narrower = await driver.claimed("7", { scope: { campaign_id: 42 }, holder: "same" });

      expect(reordered.claim).toEqual(first.claim);
      expect(narrower.claim.scope).not.toBe(first.claim.scope);
      expect(narrower.claim.resourceId).not.toBe(first.claim.resourceId);
    });

    it("C9 shares its rows with the whole pool: neither gives a row of the other", async () => {
      const driver = await openTwoCampaigns(create);

      const scoped = await driver.claimMany(["1", "2"], { scope: { campaign_id: 42 } });
      const whole = await driver.claimMany(["3", "4", "5"]);

      expect(scoped.map((answer) => asClaimed(answer).claim.resourceId).toSorted()).toEqual(["3", "4"]);
      expect(whole.map((answer) => answer.status).toSorted()).toEqual(["claimed", "claimed", "empty"]);
      expect(await driver.fixture.claims()).toHaveLength(4);
      expect(Object.keys(await driver.holders()).toSorted()).toEqual(["1", "2", "3", "4"]);
    });
  });

  describe("a picked row", () => {
    it("C10 is claimed when it is free, in every spelling of its id", async () => {
      const driver = await openLedger(create, { rows: 5 });

      const answers = [await driver.claim("7", { pick: "4" }), await driver.claim("8", { pick: "05" })];

      expect(answers.map((answer) => asClaimed(answer).claim.resourceId)).toEqual(["4", "5"]);
      expect(await driver.owners()).toEqual({ 1: null, 2: null, 3: null, 4: "7", 5: "8" });
    });

    it("C10 is taken when another claimant holds, failed or completed it", async () => {
      const driver = await openLedger(create, { rows: 4 });
      await driver.claimed("7", { pick: "1" });
      await driver.fail((await driver.claimed("8", { pick: "2" })).claim);
      await driver.complete((await driver.claimed("9", { pick: "3" })).claim);

      const answers = [];
      for (const pick of ["1", "2", "3"]) answers.push(await driver.claim("10", { pick }));

      expect(answers).toEqual([{ status: "taken" }, { status: "taken" }, { status: "taken" }]);
      expect(await driver.owners()).toEqual({ 1: "7", 2: "8", 3: "9", 4: null });
    });

    it("C10 is taken when somebody owns it without a claim, or where does not hold for it", async () => {
      const driver = await openLedger(create, { rows: 3, definition: { where: { status: "free" } } });
      await driver.fixture.writeRow("1", { user_id: 99 });
      await driver.fixture.writeRow("2", { status: "revoked" });

      const answers = [await driver.claim("7", { pick: "1" }), await driver.claim("7", { pick: "2" })];

      expect(answers).toEqual([{ status: "taken" }, { status: "taken" }]);
    });

    it("C10 is empty when there is no such row in the pool and scope", async () => {
      const driver = await openTwoCampaigns(create);

      const answers = [
        await driver.claim("7", { pick: "99" }),
        await driver.claim("7", { pick: "1", scope: { campaign_id: 42 } }),
      ];

      expect(answers).toEqual([{ status: "empty" }, { status: "empty" }]);
      expect(await driver.owners()).toEqual({ 1: null, 2: null, 3: null, 4: null });
    });

    it("C10 is refused when the id does not fit its column", async () => {
      const driver = await openLedger(create, { rows: 2 });

      const answer = await driver.claim("7", { pick: "abc" });

      expect(refusalOf(answer)).toBe("PICK_INVALID");
    });

    it("C10 is refused when the id does not fit its column, whatever the claimant has", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.claimed("7");
      await driver.complete((await driver.claimed("8")).claim);

      const answers = [await driver.claim("7", { pick: "abc" }), await driver.claim("8", { pick: "abc" })];

      expect(answers.map(refusalOf)).toEqual(["PICK_INVALID", "PICK_INVALID"]);
    });

    it("C10 gives way to the claim that the claimant has", async () => {
      const driver = await openLedger(create, { rows: 3 });
      await driver.fail((await driver.claimed("7", { pick: "1" })).claim);
      await driver.complete((await driver.claimed("8", { pick: "2" })).claim, '"2"');

      const answers = [await driver.claim("7", { pick: "3" }), await driver.claim("8", { pick: "3" })];

      expect(asClaimed(answers[0]).claim.resourceId).toBe("1");
      expect(answers[1]).toEqual({ status: "replayed", result: '"2"' });
      expect(await driver.owners()).toEqual({ 1: "7", 2: "8", 3: null });
    });
  });

  describe("a table without an owner column", () => {
    const spec = { owned: false, definition: { where: { status: "free" }, set: { status: "taken" } } };

    it("C12 gives each claimant a row of its own by where and set alone", async () => {
      const driver = await openLedger(create, { rows: 2, ...spec });

      const answers = await driver.claimMany(["seven", "8", "9"]);

      expect(answers.map((answer) => answer.status).toSorted()).toEqual(["claimed", "claimed", "empty"]);
      expect(await driver.column("status")).toEqual({ 1: "taken", 2: "taken" });
      expect(await driver.owners()).toEqual({ 1: null, 2: null });
      expect(Object.keys(await driver.holders()).toSorted()).toEqual(["1", "2"]);
    });

    it("C12 takes claimants letter for letter", async () => {
      const driver = await openLedger(create, { rows: 3, ...spec });

      const answers = await driver.claimMany(["07", "7"]);

      expect(answers.map((answer) => asClaimed(answer).claim.claimant)).toEqual(["07", "7"]);
    });

    it("C12 resumes, completes, replays and releases as any other", async () => {
      const driver = await openLedger(create, { rows: 1, ...spec });
      const first = await driver.claimed("seven", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      const second = await driver.claimed("seven");
      await driver.release(second.claim);
      const free = await driver.column("status");
      const third = await driver.claimed("eight");
      await driver.complete(third.claim, "3");

      const replayed = await driver.claim("eight");

      expect(second.claim).toEqual({ ...first.claim, token: first.claim.token + 1n });
      expect(free).toEqual({ 1: "free" });
      expect(third.claim.token).toBe(first.claim.token + 2n);
      expect(replayed).toEqual({ status: "replayed", result: "3" });
      expect(await driver.column("status")).toEqual({ 1: "taken" });
    });

    it("S1 never gives a claimed row to another, also when its status was put back by somebody else", async () => {
      const driver = await openLedger(create, { rows: 1, ...spec });
      await driver.claimed("seven");
      await driver.fixture.writeRow("1", { status: "free" });

      const answer = await driver.claim("eight");

      expect(answer).toEqual({ status: "empty" });
      expect(await driver.holders()).toEqual({ 1: "seven" });
    });
  });
}

/** Rows 1 and 2 in campaign 1, rows 3 and 4 in campaign 42. */
async function openTwoCampaigns(create: CreateLedger): Promise<LedgerDriver> {
  const driver = await openLedger(create, { rows: 4 });
  for (const id of ["3", "4"]) await driver.fixture.writeRow(id, { campaign_id: 42 });
  return driver;
}
