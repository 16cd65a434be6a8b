import { describe, expect, it } from "vitest";
import { isExclaimError } from "../../../src/errors.ts";
import type { ClaimAnswer, ClaimRef, EndAnswer, FencedTransactions, Transaction } from "../../../src/ledger/ledger.ts";
import { asClaimed, type CreateLedger, LAPSE_MS, LONG_TTL_MS, openLedger, SHORT_TTL_MS } from "./fixture.ts";

/** What commits under a token, and what does not. */
export function fencingRules(create: CreateLedger): void {
  describe("a transaction", () => {
    it("C8 commits what its work wrote and answers with the work's value", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      let id = "";

      const value = await driver.fixture.ledger.transact(claim, async (tx) => {
        expect(tx.token).toBe(claim.token);
        id = await tx.publish("voucher.assigned", { userId: 7, code: "Ünïcode 🎟️" });
        return { some: "value" };
      });

      expect(value).toEqual({ some: "value" });
      const message = { id, topic: "voucher.assigned", payload: { userId: 7, code: "Ünïcode 🎟️" } };
      expect(await driver.fixture.published()).toEqual([expect.objectContaining(message)]);
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ status: "held", token: claim.token })]);
    });

    it("C8 can follow another under the same token, and each message has an id of its own", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      const publishTwice = () =>
        driver.fixture.ledger.transact(claim, async (tx) => [await tx.publish("a", 1), await tx.publish("a", 1)]);

      const ids = [...(await publishTwice()), ...(await publishTwice())];

      expect(new Set(ids).size).toBe(4);
      expect((await driver.fixture.published()).map((message) => message.id).toSorted()).toEqual(ids.toSorted());
    });

    it("C8 completes the claim with what completion makes of the work's value", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      const value = await driver.fixture.ledger.transact(
        claim,
        async (tx) => {
          await tx.publish("a", 1);
          return { code: "CODE-1" };
        },
        (made) => JSON.stringify(made),
      );

      expect(value).toEqual({ code: "CODE-1" });
      expect(await driver.fixture.published()).toHaveLength(1);
      expect(await driver.claim("7")).toEqual({ status: "replayed", result: '{"code":"CODE-1"}' });
      expect(await driver.complete(claim, '"other"')).toBe("done");
    });

    it("C8 completes the claim with nothing when completion makes nothing of the value", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");

      await driver.fixture.ledger.transact(
        claim,
        async () => {},
        () => undefined,
      );

      expect(await driver.claim("7")).toStrictEqual({ status: "replayed", result: undefined });
    });

    it("C8 rolls back when its work throws, and rethrows the very error", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      const error = new Error("The work broke.");
      const broken = driver.fixture.ledger.transact(
        claim,
        async (tx) => {
          await tx.publish("a", 1);
          throw error;
        },
        () => '"never"',
      );

      const caught = await broken.catch((reason: unknown) => reason);

      expect(caught).toBe(error);
      expect(await driver.fixture.published()).toEqual([]);
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ status: "held", token: claim.token })]);
      expect(await driver.complete(claim)).toBe("done");
    });

    it("C8 rolls back when completion throws, and rethrows the very error", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      const error = new TypeError("A bigint is not JSON.");
      const broken = driver.fixture.ledger.transact(
        claim,
        (tx) => tx.publish("a", 1),
        () => {
          throw error;
        },
      );

      const caught = await broken.catch((reason: unknown) => reason);

      expect(caught).toBe(error);
      expect(await driver.fixture.published()).toEqual([]);
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ status: "held", token: claim.token })]);
    });

    it("C8 commits after the lease was over while nobody took over", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      await driver.fixture.ledger.transact(claim, (tx) => tx.publish("a", 1));

      expect(await driver.fixture.published()).toHaveLength(1);
    });
  });

  describe("a transaction under a token that may not write", () => {
    it("S4 is fenced after a takeover, its work not run", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const stale = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      const newest = await driver.claimed("7");

      const { isFenced, hasRun } = await tryToWrite(driver.fixture.ledger, stale.claim);

      expect({ isFenced, hasRun }).toEqual({ isFenced: true, hasRun: false });
      expect(await driver.fixture.published()).toEqual([]);
      expect(await driver.fixture.claims()).toEqual([
        expect.objectContaining({ status: "held", token: newest.claim.token, attempt: 2 }),
      ]);
    });

    for (const end of ["complete", "fail", "release"] as const) {
      it(`S4 is fenced after ${end}`, async () => {
        const driver = await openLedger(create, { rows: 1 });
        const { claim } = await driver.claimed("7");
        await driver[end](claim);
        const before = await driver.fixture.claims();

        const { isFenced, hasRun } = await tryToWrite(driver.fixture.ledger, claim);

        expect({ isFenced, hasRun }).toEqual({ isFenced: true, hasRun: false });
        expect(await driver.fixture.published()).toEqual([]);
        expect(await driver.fixture.claims()).toEqual(before);
      });
    }

    it("S4 is fenced when its claimant has another row whose token is equal", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const stale = await driver.claimed("7", { pick: "1" });
      await driver.release(stale.claim);
      const newest = await driver.claimed("7", { pick: "2" });

      const { isFenced } = await tryToWrite(driver.fixture.ledger, stale.claim);

      expect(newest.claim.token).toBe(stale.claim.token);
      expect(isFenced).toBe(true);
      expect(await driver.fixture.published()).toEqual([]);
    });
  });

  describe("a takeover that meets an open transaction", () => {
    it("S4 either waits for its commit or fences it, never both", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      let takeover: Promise<ClaimAnswer> | undefined;
      const transaction = driver.fixture.ledger.transact(
        first.claim,
        async (tx) => {
          await tx.publish("a", 1);
          // Not awaited: a ledger may let it wait for this very transaction.
          takeover = driver.claim("7", { ttlMs: LONG_TTL_MS });
          await driver.fixture.elapse(50);
        },
        () => '"done"',
      );

      const isCommitted = await commits(transaction);
      const answer = await takeover;

      if (isCommitted) {
        expect(["contended", "replayed"]).toContain(answer?.status);
        expect(await driver.claim("7")).toEqual({ status: "replayed", result: '"done"' });
        expect(await driver.fixture.published()).toHaveLength(1);
      } else {
        expect(asClaimed(answer).claim.token).toBeGreaterThan(first.claim.token);
        expect(await driver.complete(first.claim)).toBe("lost");
        expect(await driver.fixture.published()).toEqual([]);
      }
    });

    it("S4 ends that meet an open transaction are answered, and the claim ends once", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const { claim } = await driver.claimed("7");
      let release: Promise<EndAnswer> | undefined;
      const transaction = driver.fixture.ledger.transact(
        claim,
        async (tx) => {
          await tx.publish("a", 1);
          release = driver.release(claim);
          await driver.fixture.elapse(50);
        },
        () => '"done"',
      );

      const isCommitted = await commits(transaction);

      expect(await release).toBe(isCommitted ? "lost" : "done");
      expect(await driver.fixture.published()).toHaveLength(isCommitted ? 1 : 0);
      const status = isCommitted ? "completed" : "released";
      expect(await driver.fixture.claims()).toEqual([expect.objectContaining({ status })]);
    });
  });
}

/** Tries a fenced write that would complete the claim, and tells how it went. */
async function tryToWrite(ledger: FencedTransactions, claim: ClaimRef): Promise<{ isFenced: boolean; hasRun: boolean }> {
  let hasRun = false;
  const work = async (tx: Transaction) => {
    hasRun = true;
    await tx.publish("stale", 1);
  };
  const isCommitted = await commits(ledger.transact(claim, work, () => '"stale"'));
  return { isFenced: !isCommitted, hasRun };
}

/** Whether the transaction commits; false when it is fenced. Any other error is the test's. */
async function commits(transaction: Promise<unknown>): Promise<boolean> {
  try {
    await transaction;
    return true;
  } catch (error) {
    if (isExclaimError(error, "FENCED")) return false;
    throw error;
  }
}
