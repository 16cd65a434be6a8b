import { describe, expect, it } from "vitest";
import { asClaimed, type CreateLedger, LAPSE_MS, openLedger, SHORT_TTL_MS } from "./fixture.ts";

/** What a claimant that was here before gets: its row again, or its stored result. */
export function resumingRules(create: CreateLedger): void {
  describe("a claimant whose claim was not completed", () => {
    it("S2 resumes the same row once its lease is over, under the next token", async () => {
      const driver = await openLedger(create, { rows: 5 });
      const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const second = await driver.claimed("7");

      expect(second.claim).toEqual({ ...first.claim, token: first.claim.token + 1n });
      expect(second).toMatchObject({ attempt: 2, resumed: true });
      expect(Object.values(await driver.owners()).filter((owner) => owner !== null)).toEqual(["7"]);
    });

    it("S2 resumes the same row at once after a failure, and counts attempts", async () => {
      const driver = await openLedger(create, { rows: 5 });
      const first = await driver.claimed("7");
      const failed = await driver.fail(first.claim);
      const second = await driver.claimed("7");
      await driver.fail(second.claim);

      const third = await driver.claimed("7");

      expect(failed).toBe("done");
      expect(third.claim).toEqual({ ...first.claim, token: first.claim.token + 2n });
      expect(third).toMatchObject({ attempt: 3, resumed: true });
    });

    it("S1 keeps its row from others after a failure and after its lease is over", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.fail((await driver.claimed("7")).claim);
      await driver.claimed("8", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const answers = await driver.claimMany(["9", "10"]);

      expect(answers).toEqual([{ status: "empty" }, { status: "empty" }]);
      expect(Object.values(await driver.holders()).toSorted()).toEqual(["7", "8"]);
    });

    it("S2 resumes its row although where no longer holds for it", async () => {
      const definition = { where: { status: "free" }, set: { status: "taken" } };
      const driver = await openLedger(create, { rows: 2, definition });
      const first = await driver.claimed("7");
      await driver.fail(first.claim);

      const second = await driver.claimed("7");

      expect(second.claim.resourceId).toBe(first.claim.resourceId);
      expect(second.row).toMatchObject({ status: "taken" });
    });

    it("C4 keeps its lease for as long as it is renewed", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      const renewed = await driver.renew(first.claim);
      await driver.fixture.elapse(LAPSE_MS);

      const other = await driver.claim("7");

      expect(renewed).toBe("done");
      expect(other.status).toBe("contended");
    });

    it("C4 can have its lease renewed after it was over while nobody took over", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      const renewed = await driver.renew(first.claim);

      const other = await driver.claim("7");

      expect(renewed).toBe("done");
      expect(other.status).toBe("contended");
    });

    it("C4 can be completed after its lease was over while nobody took over", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const completed = await driver.complete(first.claim, "1");

      expect(completed).toBe("done");
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: "1" });
    });
  });

  describe("a claimant whose claim was completed", () => {
    const results: [what: string, result: string | undefined][] = [
      ["nothing", undefined],
      ["null", "null"],
      ["an empty text", '""'],
      ["zero", "0"],
      ["an object", '{"code":"CODE-1"}'],
      ["spaces, doubled keys and number spellings", '{ "b" : 1.0,\n  "a" : 1e2, "a" : 2 }'],
      ["escaped NUL and lone surrogate", '"\\u0000 and \\ud83d"'],
      ["unicode and quotes", '"Grüße, 世界 🎟️ \\" \\\\ \'"'],
      ["a hundred thousand letters", `"${"x".repeat(100_000)}"`],
    ];
    for (const [what, result] of results) {
      it(`S5 is answered with the very result that was stored: ${what}`, async () => {
        const driver = await openLedger(create, { rows: 1 });
        await driver.complete((await driver.claimed("7")).claim, result);

        const answer = await driver.claim("7");

        expect(answer).toStrictEqual({ status: "replayed", result });
      });
    }

    it("S1 keeps its row from others, also after its lease is over", async () => {
      const driver = await openLedger(create, { rows: 1 });
      await driver.complete((await driver.claimed("7", { ttlMs: SHORT_TTL_MS })).claim, "1");
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.claim("8");

      expect(answer).toEqual({ status: "empty" });
      expect(await driver.holders()).toEqual({ 1: "7" });
    });

    it("C5 is replayed to the same holder too, and takes no second row", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.complete((await driver.claimed("7", { holder: "same" })).claim, "1");

      const answer = await driver.claim("7", { holder: "same" });

      expect(answer).toEqual({ status: "replayed", result: "1" });
      expect(Object.values(await driver.holders())).toEqual(["7"]);
    });

    it("C5 is claimed again by a rerun: the same row, the next token, held until it ends", async () => {
      const driver = await openLedger(create, { rows: 3 });
      const first = await driver.claimed("7");
      await driver.complete(first.claim, '"first"');

      const again = await driver.claimed("7", { rerun: true });

      expect(again.claim).toEqual({ ...first.claim, token: first.claim.token + 1n });
      expect(again).toMatchObject({ attempt: 2, resumed: true });
      expect((await driver.claim("7", { rerun: true })).status).toBe("contended");
      expect((await driver.claim("7")).status).toBe("contended");
    });

    it("C5 is replayed with what the rerun stored, and the earlier token is lost", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7");
      await driver.complete(first.claim, '"first"');
      const again = await driver.claimed("7", { rerun: true });

      const stale = await driver.complete(first.claim, '"stale"');
      await driver.complete(again.claim, '"second"');

      expect(stale).toBe("lost");
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: '"second"' });
    });

    it("C5 is resumed when a rerun failed, whoever asks", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7");
      await driver.complete(first.claim, '"first"');
      await driver.fail((await driver.claimed("7", { rerun: true })).claim);

      const answer = await driver.claim("7");

      expect(asClaimed(answer)).toMatchObject({ attempt: 3, resumed: true });
      expect(asClaimed(answer).claim.token).toBe(first.claim.token + 2n);
    });
  });
}
