import { describe, expect, it } from "vitest";
import { isExclaimError } from "../../../src/errors.ts";
import type { EndAnswer, Transaction } from "../../../src/ledger/ledger.ts";
import type { ResourceRef, ResourceTransactions, TakeAnswer } from "../../../src/ledger/resource-ledger.ts";
import { asHeld, type CreateResources, LAPSE_MS, openResources, SHORT_TTL_MS } from "./fixture.ts";

/** What commits under a lease's token, and what does not. */
export function fencingRules(create: CreateResources): void {
  for (const mode of ["exclusive", "shared"] as const) {
    describe(`a transaction under ${mode === "shared" ? "a shared" : "an exclusive"} lease`, () => {
      it("R8 commits what its work wrote, answers with the work's value and leaves the lease as it is", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode });
        let id = "";

        const value = await driver.fixture.ledger.transact(lease, async (tx) => {
          expect(tx.token).toBe(lease.token);
          id = await tx.publish("order.paid", { key: "42", text: "Ünïcode 🎟️" });
          return { some: "value" };
        });

        expect(value).toEqual({ some: "value" });
        const message = { id, topic: "order.paid", payload: { key: "42", text: "Ünïcode 🎟️" } };
        expect(await driver.fixture.published()).toEqual([expect.objectContaining(message)]);
        expect((await driver.take("42")).status).toBe("contended");
        expect(await driver.renew(lease)).toBe("done");
      });

      it("R8 that ends ends the lease as completed, together with what was written", async () => {
        const driver = await openResources(create);
        await driver.end((await driver.held("42")).lease, "completed");
        const { lease } = await driver.held("42", { mode });

        await driver.fixture.ledger.transact(lease, (tx) => tx.publish("a", 1), { ends: true });

        expect(await driver.fixture.published()).toHaveLength(1);
        expect(await driver.renew(lease)).toBe("lost");
        expect(await driver.end(lease, "failed")).toBe("done");
        expect(await driver.held("42")).toMatchObject({ attempt: 1, resumed: false, lease: { token: 3n } });
      });

      it("R8 rolls back when its work throws, rethrows the very error, and ends nothing", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode });
        const error = new Error("The work broke.");
        const broken = driver.fixture.ledger.transact(
          lease,
          async (tx) => {
            await tx.publish("a", 1);
            throw error;
          },
          { ends: true },
        );

        const caught = await broken.catch((reason: unknown) => reason);

        expect(caught).toBe(error);
        expect(await driver.fixture.published()).toEqual([]);
        expect((await driver.take("42")).status).toBe("contended");
        expect(await driver.renew(lease)).toBe("done");
      });

      it("S4 commits though the lease ran out, as long as nobody took the key", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode, ttlMs: SHORT_TTL_MS });
        await driver.fixture.elapse(LAPSE_MS);

        await driver.fixture.ledger.transact(lease, (tx) => tx.publish("a", 1), { ends: true });

        expect(await driver.fixture.published()).toHaveLength(1);
        expect(await driver.held("42")).toMatchObject({ attempt: 1, resumed: false });
      });

      for (const next of ["exclusive", "shared"] as const) {
        it(`S4 is fenced before its work once somebody took the key: ${next}`, async () => {
          const driver = await openResources(create);
          const { lease } = await driver.held("42", { mode, ttlMs: SHORT_TTL_MS });
          await driver.fixture.elapse(LAPSE_MS);
          const newest = await driver.held("42", { mode: next });

          const { isFenced, hasRun } = await tryToWrite(driver.fixture.ledger, lease);

          expect([isFenced, hasRun]).toEqual([true, false]);
          expect(await driver.fixture.published()).toEqual([]);
          expect(await driver.renew(newest.lease)).toBe("done");
        });
      }

      it("S4 is fenced once the lease has ended", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode });
        await driver.end(lease);

        const { isFenced, hasRun } = await tryToWrite(driver.fixture.ledger, lease);

        expect([isFenced, hasRun]).toEqual([true, false]);
        expect(await driver.fixture.published()).toEqual([]);
      });

      it("S4 is fenced for another holder, another token and a key that never was", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode });
        const strangers = [
          { ...lease, holder: "stranger" },
          { ...lease, token: lease.token + 1n },
          { ...lease, key: "43" },
          { ...lease, resource: "invoice" },
        ];

        const tries = [];
        for (const stranger of strangers) {
          for (const ends of [false, true]) tries.push(await tryToWrite(driver.fixture.ledger, stranger, ends));
        }

        expect(tries).toEqual(Array(8).fill({ isFenced: true, hasRun: false }));
        expect(await driver.fixture.published()).toEqual([]);
        expect(await driver.renew(lease)).toBe("done");
      });

      it("S4 meets a take that either waits for its commit or fences it, never both", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode, ttlMs: SHORT_TTL_MS });
        await driver.fixture.elapse(LAPSE_MS);
        let take: Promise<TakeAnswer> | undefined;
        const transaction = driver.fixture.ledger.transact(
          lease,
          async (tx) => {
            await tx.publish("a", 1);
            // Not awaited: a ledger may let it wait for this very transaction.
            take = driver.take("42");
            await driver.fixture.elapse(50);
          },
          { ends: true },
        );

        const isCommitted = await commits(transaction);
        const answer = await take;

        if (isCommitted) {
          expect(answer?.status).toBe("contended");
          expect(await driver.held("42")).toMatchObject({ attempt: 1, lease: { token: 2n } });
          expect(await driver.fixture.published()).toHaveLength(1);
        } else {
          expect(asHeld(answer).lease.token).toBe(2n);
          expect(await driver.end(lease)).toBe("lost");
          expect(await driver.fixture.published()).toEqual([]);
        }
      });

      it("S4 meets an end that is answered, and the lease ends once", async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { mode });
        let end: Promise<EndAnswer> | undefined;
        const transaction = driver.fixture.ledger.transact(
          lease,
          async (tx) => {
            await tx.publish("a", 1);
            end = driver.end(lease, "failed");
            await driver.fixture.elapse(50);
          },
          { ends: true },
        );

        const isCommitted = await commits(transaction);

        expect(await end).toBe("done");
        expect(await driver.fixture.published()).toHaveLength(isCommitted ? 1 : 0);
        const isFailed = !isCommitted && mode === "exclusive";
        expect(await driver.held("42")).toMatchObject({ resumed: isFailed });
      });
    });
  }

  describe("a transaction that ends the lease", () => {
    it("R5 lets the key rest from the end", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { spacing: { from: "end", minIntervalMs: 10_000 }, ttlMs: 30_000 });

      const sentAtMs = driver.fixture.now();
      await driver.fixture.ledger.transact(lease, async () => {}, { ends: true });

      const answer = await driver.expectHint("42", 10_000, sentAtMs);
      expect(answer.tooEarly).toBe(true);
    });

    it("R7 ends one sharer, and the others go on", async () => {
      const driver = await openResources(create);
      const a = await driver.held("42", { mode: "shared" });
      const b = await driver.held("42", { mode: "shared" });

      await driver.fixture.ledger.transact(a.lease, async () => {}, { ends: true });

      expect((await driver.take("42")).status).toBe("contended");
      expect([await driver.renew(a.lease), await driver.renew(b.lease)]).toEqual(["lost", "done"]);
    });
  });
}

/** Tries a fenced write, which also ends the lease unless told otherwise, and tells how it went. */
async function tryToWrite(
  ledger: ResourceTransactions,
  lease: ResourceRef,
  ends = true,
): Promise<{ isFenced: boolean; hasRun: boolean }> {
  let hasRun = false;
  const work = async (tx: Transaction) => {
    hasRun = true;
    await tx.publish("stale", 1);
  };
  const isCommitted = await commits(ledger.transact(lease, work, { ends }));
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
