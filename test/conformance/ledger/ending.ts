import { describe, expect, it } from "vitest";
import type { ClaimRef, EndAnswer } from "../../../src/ledger/ledger.ts";
import { asClaimed, type CreateLedger, LAPSE_MS, type LedgerDriver, openLedger, SHORT_TTL_MS } from "./fixture.ts";

const ENDS = ["complete", "fail", "renew", "release"] as const;

/** How claims end, who may end them, and what tokens say of it. */
export function endingRules(create: CreateLedger): void {
  describe("a claim that is asked for late, by a holder whose claim has ended since", () => {
    for (const end of ["fail", "release"] as const) {
      it(`S5 is contended after a ${end}, and takes nothing`, async () => {
        const driver = await openLedger(create, { rows: 2 });
        await driver[end]((await driver.claimed("7", { holder: "late" })).claim);
        const before = [await driver.fixture.claims(), await driver.owners()];

        const answer = await driver.claim("7", { holder: "late" });

        expect(answer.status).toBe("contended");
        expect([await driver.fixture.claims(), await driver.owners()]).toEqual(before);
      });
    }

    it("S5 is contended after a completion, though a rerun is asked for", async () => {
      const driver = await openLedger(create, { rows: 2 });
      await driver.complete((await driver.claimed("7", { holder: "late" })).claim, "1");

      const answer = await driver.claim("7", { holder: "late", rerun: true });

      expect(answer.status).toBe("contended");
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: "1" });
    });
  });

  describe("an end that is told twice", () => {
    it("C6 is done again for a completion, and the first result stays", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      const answers = [await driver.complete(claim, '"first"'), await driver.complete(claim, '"second"')];

      expect(answers).toEqual(["done", "done"]);
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: '"first"' });
    });

    it("C6 is done again for a failure", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      const answers = [await driver.fail(claim), await driver.fail(claim)];

      expect(answers).toEqual(["done", "done"]);
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ status: "failed" })]);
    });

    it("C6 is done again for a release, and takes nothing from who got the row since", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      const first = await driver.release(claim);
      await driver.claimed("8");

      const second = await driver.release(claim);

      expect([first, second]).toEqual(["done", "done"]);
      expect(await driver.owners()).toEqual({ 1: "8" });
      expect(await driver.holders()).toEqual({ 1: "8" });
    });
  });

  describe("an end that does not fit the state of the claim", () => {
    const wrong: [after: "complete" | "fail" | "release", lost: readonly (typeof ENDS)[number][]][] = [
      ["complete", ["fail", "renew", "release"]],
      ["fail", ["complete", "renew"]],
      ["release", ["complete", "fail", "renew"]],
    ];
    for (const [after, lost] of wrong) {
      it(`C6 is lost and changes nothing after ${after}: ${lost.join(", ")}`, async () => {
        const driver = await openLedger(create, { rows: 1 });
        const { claim } = await driver.claimed("7");
        await driver[after](claim);
        const before = [await driver.fixture.claims(), await driver.owners()];

        const answers: EndAnswer[] = [];
        for (const end of lost) answers.push(await driver[end](claim));

        expect(answers).toEqual(lost.map(() => "lost"));
        expect([await driver.fixture.claims(), await driver.owners()]).toEqual(before);
      });
    }

    it("C6 is lost for a claim that never was", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      const stranger = { ...claim, claimant: "8" };

      const answers: EndAnswer[] = [];
      for (const end of ENDS) answers.push(await driver[end](stranger));

      expect(answers).toEqual(["lost", "lost", "lost", "lost"]);
      expect(await driver.holders()).toEqual({ 1: "7" });
    });
  });

  describe("a batch of ends", () => {
    it("C6 is answered member by member in the order asked", async () => {
      const driver = await openLedger(create, { rows: 3 });
      const [a, b, c] = (await driver.claimMany(["1", "2", "3"])).map((answer) => asClaimed(answer).claim);
      if (a === undefined || b === undefined || c === undefined) throw new Error("Three claims were asked for.");
      const stale = { ...b, token: b.token + 5n };
      const { ledger, pool } = driver.fixture;

      const renewed = await ledger.renew([c, stale, a], 30_000);
      const failed = await ledger.fail([stale, a]);
      const released = await ledger.release(pool, [a, stale]);
      const completed = await ledger.complete([
        { claim: c, result: '"c"' },
        { claim: stale, result: '"stale"' },
        { claim: b, result: '"b"' },
      ]);

      expect(renewed).toEqual(["done", "lost", "done"]);
      expect(failed).toEqual(["lost", "done"]);
      expect(released).toEqual(["done", "lost"]);
      expect(completed).toEqual(["done", "lost", "done"]);
      expect(await driver.claimMany(["3", "2"])).toEqual([
        { status: "replayed", result: '"c"' },
        { status: "replayed", result: '"b"' },
      ]);
    });
  });

  describe("a release", () => {
    it("C7 makes the row free for others and leaves its claimant with none", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect(await driver.owners()).toEqual({ 1: null });
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ claimant: "7", status: "released" })]);
      expect(await driver.claimed("8")).toMatchObject({ attempt: 1, resumed: false });
      expect(await driver.claim("7")).toEqual({ status: "empty" });
    });

    it("C7 lets its claimant start anew", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7");
      await driver.fail(first.claim);
      const second = await driver.claimed("7");
      await driver.release(second.claim);

      const third = await driver.claimed("7");

      expect(third).toMatchObject({ attempt: 1, resumed: false });
    });

    it("C7 gives back the row of a failed claim", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      await driver.fail(claim);

      const released = await driver.release(claim);

      expect(released).toBe("done");
      expect(await driver.owners()).toEqual({ 1: null });
    });

    it("C7 puts back what the columns of set were before the claim", async () => {
      const driver = await openLedger(create, { rows: 2, definition: { set: { status: "taken", code: null } } });
      await driver.fixture.writeRow("1", { status: "vip" });
      const answers = await driver.claimMany(["7", "8"]);
      const taken = [await driver.column("status"), await driver.column("code")];

      for (const answer of answers) await driver.release(asClaimed(answer).claim);

      expect(answers.map((answer) => asClaimed(answer).row.status)).toEqual(["taken", "taken"]);
      expect(taken).toEqual([
        { 1: "taken", 2: "taken" },
        { 1: null, 2: null },
      ]);
      expect(await driver.column("status")).toEqual({ 1: "vip", 2: "free" });
      expect(await driver.column("code")).toEqual({ 1: "CODE-1", 2: "CODE-2" });
    });

    it("C7 puts back what was before the first claim when the claim was resumed since", async () => {
      const driver = await openLedger(create, { rows: 1, definition: { set: { status: "taken" } } });
      await driver.fail((await driver.claimed("7")).claim);
      const resumed = await driver.claimed("7");

      await driver.release(resumed.claim);

      expect(await driver.column("status")).toEqual({ 1: "free" });
    });
  });

  describe("tokens", () => {
    it("S3 grow by one each time a resource changes hands or is resumed", async () => {
      const driver = await openLedger(create, { rows: 1 });

      const tokens = await tokensOfALife(driver);

      const first = tokens[0] ?? 0n;
      expect(tokens.map((token) => token - first)).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n]);
    });

    it("S3 grow across a release and a grant to another claimant", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7");
      await driver.release(first.claim);

      const second = await driver.claimed("8");

      expect(second.claim.resourceId).toBe(first.claim.resourceId);
      expect(second.claim.token).toBeGreaterThan(first.claim.token);
    });

    it("S3 stay as they are when a claim is renewed, completed and replayed", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      await driver.renew(claim);
      await driver.complete(claim);
      await driver.claim("7");

      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ token: claim.token, attempt: 1 })]);
    });
  });

  describe("a stale token", () => {
    for (const end of ENDS) {
      it(`S4 cannot ${end} once the claim was resumed`, async () => {
        const driver = await openLedger(create, { rows: 1, definition: { set: { status: "taken" } } });
        const stale = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
        await driver.fixture.elapse(LAPSE_MS);
        await driver.claimed("7");
        const before = [await driver.fixture.claims(), await driver.fixture.rows()];

        const answer = await driver[end](stale.claim);

        expect(answer).toBe("lost");
        expect([await driver.fixture.claims(), await driver.fixture.rows()]).toEqual(before);
      });

      it(`S4 cannot ${end} when its claimant has another row whose token is equal`, async () => {
        const driver = await openLedger(create, { rows: 2, definition: { orderBy: "id" } });
        const { stale, newest } = await sameTokenOnAnotherRow(driver);
        const before = [await driver.fixture.claims(), await driver.owners()];

        const answer = await driver[end](stale);

        expect(stale.token).toBe(newest.token);
        expect(answer).toBe("lost");
        expect([await driver.fixture.claims(), await driver.owners()]).toEqual(before);
      });
    }

    it("S4 cannot renew the lease it once had: the claim is resumed again when the newer lease is over", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const stale = await driver.claimed("7");
      await driver.fail(stale.claim);
      await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.renew(stale.claim);
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.claimed("7");

      expect(answer).toMatchObject({ attempt: 3, resumed: true });
    });
  });
}

/** The tokens of the one row of a pool through every arrow that ends in held. */
async function tokensOfALife(driver: LedgerDriver): Promise<bigint[]> {
  const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
  await driver.fixture.elapse(LAPSE_MS);
  const afterLapse = await driver.claimed("7");
  await driver.fail(afterLapse.claim);
  const afterFailure = await driver.claimed("7");
  await driver.release(afterFailure.claim);
  const toAnother = await driver.claimed("8");
  await driver.release(toAnother.claim);
  const back = await driver.claimed("7");
  await driver.complete(back.claim);
  const rerun = await driver.claimed("7", { rerun: true });
  await driver.release(rerun.claim);
  const last = await driver.claimed("8");
  return [first, afterLapse, afterFailure, toAnother, back, rerun, last].map((answer) => answer.claim.token);
}

/** Tokens count per resource: a released claim and the claimant's next one can carry the same number for two rows. */
async function sameTokenOnAnotherRow(driver: LedgerDriver): Promise<{ stale: ClaimRef; newest: ClaimRef }> {
  const first = await driver.claimed("7", { pick: "1" });
  await driver.release(first.claim);
  const second = await driver.claimed("7", { pick: "2" });
  return { stale: first.claim, newest: second.claim };
}
