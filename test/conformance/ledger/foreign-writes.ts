import { describe, expect, it } from "vitest";
import { asClaimed, type CreateLedger, LAPSE_MS, openLedger, refusalOf, SHORT_TTL_MS } from "./fixture.ts";

/** What the ledger answers when somebody who knows nothing of it wrote a claimed row. */
export function foreignWriteRules(create: CreateLedger): void {
  describe("a claimed row whose owner somebody set to null", () => {
    for (const status of ["held", "failed", "completed"] as const) {
      it(`S1 is given to nobody else while its claim is ${status}`, async () => {
        const driver = await openLedger(create, { rows: 2, definition: { orderBy: "id" } });
        const { claim } = await driver.claimed("7");
        if (status === "failed") await driver.fail(claim);
        if (status === "completed") await driver.complete(claim);
        await driver.fixture.writeRow("1", { user_id: null });

        const answers = [await driver.claim("8"), await driver.claim("9"), await driver.claim("10", { pick: "1" })];

        expect(asClaimed(answers[0]).claim.resourceId).toBe("2");
        expect(answers.slice(1)).toEqual([{ status: "empty" }, { status: "taken" }]);
        expect(await driver.holders()).toEqual({ 1: "7", 2: "8" });
      });
    }

    it("S1 is passed over by a batch that finds enough other rows", async () => {
      const driver = await openLedger(create, { rows: 4, definition: { orderBy: "id" } });
      await driver.claimed("7");
      await driver.fixture.writeRow("1", { user_id: null });

      const answers = await driver.claimMany(["8", "9", "10"]);

      expect(answers.map((answer) => asClaimed(answer).claim.resourceId).toSorted()).toEqual(["2", "3", "4"]);
    });

    it("C13 is not resumed: the claimant is refused, and gets no other row", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const { claim } = await driver.claimed("7", { pick: "1" });
      await driver.fail(claim);
      await driver.fixture.writeRow("1", { user_id: null });

      const answer = await driver.claim("7");

      expect(refusalOf(answer)).toBe("ROW_CHANGED");
      expect(await driver.holders()).toEqual({ 1: "7" });
      expect((await driver.owners())[2]).toBeNull();
    });

    it("C13 is free again once its claim is released", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      await driver.fixture.writeRow("1", { user_id: null });

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect((await driver.claimed("8")).claim.token).toBe(claim.token + 1n);
    });

    it("C13 has what the columns of set were before put back by its release, and is free again by where", async () => {
      const definition = { where: { status: "free" }, set: { status: "taken" } };
      const driver = await openLedger(create, { rows: 1, definition });
      const { claim } = await driver.claimed("7");
      await driver.fixture.writeRow("1", { user_id: null });

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect(await driver.column("status")).toEqual({ 1: "free" });
      expect((await driver.claimed("8")).claim.token).toBe(claim.token + 1n);
    });
  });

  describe("a claimed row that somebody gave to another owner", () => {
    it("C13 is not resumed: the claimant is refused alone, others of its batch are claimed", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.claimed("7", { pick: "1", ttlMs: SHORT_TTL_MS });
      await driver.fixture.writeRow("1", { user_id: 99 });
      await driver.fixture.elapse(LAPSE_MS);

      const answers = await driver.claimMany(["7", "8"]);

      expect(refusalOf(answers[0])).toBe("ROW_CHANGED");
      expect(asClaimed(answers[1]).claim.resourceId).toBe("2");
      expect(await driver.owners()).toEqual({ 1: "99", 2: "8" });
    });

    it("C13 is not claimed again by a rerun", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.complete((await driver.claimed("7", { pick: "1" })).claim, '"1"');
      await driver.fixture.writeRow("1", { user_id: 99 });

      const answer = await driver.claim("7", { rerun: true });

      expect(refusalOf(answer)).toBe("ROW_CHANGED");
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: '"1"' });
    });

    it("C13 stays with that owner when the claim is released", async () => {
      const driver = await openLedger(create, { rows: 1, definition: { set: { status: "taken" } } });
      const { claim } = await driver.claimed("7");
      await driver.fixture.writeRow("1", { user_id: 99, status: "sold" });

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect(await driver.owners()).toEqual({ 1: "99" });
      expect(await driver.column("status")).toEqual({ 1: "sold" });
      expect(await driver.claim("8")).toEqual({ status: "empty" });
    });
  });

  describe("a claimed row that somebody removed", () => {
    it("C13 is not resumed: the claimant is refused, and gets no other row", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.fail((await driver.claimed("7", { pick: "1" })).claim);
      await driver.fixture.writeRow("1", null);

      const answer = await driver.claim("7");

      expect(refusalOf(answer)).toBe("ROW_CHANGED");
      expect(await driver.owners()).toEqual({ 2: null });
    });

    it("C13 can still be released, and its claimant starts anew with another", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const { claim } = await driver.claimed("7", { pick: "1" });
      await driver.fixture.writeRow("1", null);

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect(await driver.claimed("7")).toMatchObject({ claim: { resourceId: "2" }, attempt: 1, resumed: false });
    });

    it("C13 is still contended while its lease lives, and can be completed and replayed", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      await driver.fixture.writeRow("1", null);
      const contended = await driver.claim("7");

      const completed = await driver.complete(claim, '"kept"');

      expect([contended.status, completed]).toEqual(["contended", "done"]);
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: '"kept"' });
    });
  });
}
