import { describe, expect, it } from "vitest";
import { ExclaimError, isExclaimError } from "../../../src/errors.ts";
import { type Answer, ScriptedPool } from "../../queue/scripted-pool.ts";
import { completed, contended, deadLettered, openBroker, type QueueSetup, SOON, serveScripted } from "./fixture.ts";

/** Messages that are put off: later, in the same order of attempts, and not for ever. */
export function puttingOffRules(setup: QueueSetup): void {
  describe("a message that is put off", () => {
    it("A7 B8 B10 burns no attempt, and is counted", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool(contended, contended, contended, "run");
      const contexts: object[] = [];
      await serveScripted(broker, pool, {
        onContended: ({ message, outcome, claimant, deferrals, attemptsMade }) => {
          contexts.push({ data: message.data, status: outcome.status, claimant, deferrals, attemptsMade });
          return SOON;
        },
      });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
      expect(contexts).toEqual([
        { data: { user_id: 7 }, status: "contended", claimant: "7", deferrals: 0, attemptsMade: 0 },
        { data: { user_id: 7 }, status: "contended", claimant: "7", deferrals: 1, attemptsMade: 0 },
        { data: { user_id: 7 }, status: "contended", claimant: "7", deferrals: 2, attemptsMade: 0 },
      ]);
      expect(pool.requests.map(({ messageId, lastAttempt }) => ({ messageId, lastAttempt }))).toEqual(
        Array(4).fill({ messageId: id, lastAttempt: true }),
      );
      // A renewal of the job's lock that is under way while the job is put off finds it gone, which BullMQ tells and which harms nobody.
      expect(broker.errors.filter(({ message }) => !message.startsWith("could not renew lock"))).toEqual([]);
    });

    it("A6 B9 lets its neighbour run meanwhile", async () => {
      const broker = await openBroker(setup);
      const order: string[] = [];
      const pool = new ScriptedPool();
      pool.claim = async (request) => {
        order.push(request.claimant);
        return request.claimant === "7"
          ? { status: "contended", retryAfterMs: 0 }
          : { status: "completed", result: undefined as never };
      };
      const first = await broker.send({ user_id: 7 });
      const neighbour = await broker.send({ user_id: 8 });

      await serveScripted(broker, pool, { onContended: SOON, maxDeferrals: 5 });

      expect(await broker.ended(neighbour)).toEqual({ status: "completed" });
      expect(await broker.ended(first)).toEqual(deadLettered("put off 5 times"));
      expect(order.indexOf("8")).toBeLessThan(5);
      expect(order.filter((who) => who === "7")).toHaveLength(6);
    });

    it("B10 is dead-lettered once it was put off maxDeferrals times, and its claim is given up once", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool(contended);
      await serveScripted(broker, pool, { onContended: SOON, maxDeferrals: 3, onGiveUp: "release" });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered("put off 3 times"));
      expect(pool.requests).toHaveLength(4);
      await expect.poll(() => pool.givenUp).toEqual([{ claimant: "7", messageId: id, onGiveUp: "release" }]);
    });

    it("B10 has its attempts left when it was put off too often, and is given up only at the last", async () => {
      const broker = await openBroker(setup, { attempts: 2 });
      const pool = new ScriptedPool(contended);
      const counts: number[][] = [];
      await serveScripted(broker, pool, {
        onContended: ({ deferrals, attemptsMade }) => {
          counts.push([deferrals, attemptsMade]);
          return SOON;
        },
        maxDeferrals: 1,
      });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered("put off 1 times"));
      expect(counts).toEqual([
        [0, 0],
        [1, 0],
        [1, 1],
      ]);
      await expect.poll(() => pool.givenUp).toEqual([{ claimant: "7", messageId: id, onGiveUp: "keep" }]);
    });

    it.each(["DATABASE_UNREACHABLE", "LOCK_UNREACHABLE"] as const)(
      "waits while servers are away (%s), burns nothing of its only attempt, and that is told once",
      async (code) => {
        const broker = await openBroker(setup);
        const down: Answer = { status: "failed", error: new ExclaimError(code, "connect ECONNREFUSED") };
        const pool = new ScriptedPool(down, down, "run");
        // More than the bound on what rules may put off.
        await serveScripted(broker, pool, { maxDeferrals: 0 });

        const id = await broker.send({ user_id: 7 });

        expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
        expect(pool.requests.map(({ lastAttempt }) => lastAttempt)).toEqual([true, true, true]);
        expect(pool.givenUp).toEqual([]);
        // BullMQ itself may have more to say: it renews the lock of a job that has just been put off.
        const told = broker.errors.filter((error) => isExclaimError(error));
        expect(told).toMatchObject([{ code, message: expect.stringContaining("are put off") }]);
      },
    );
  });
}
