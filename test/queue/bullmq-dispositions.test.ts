import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ExclaimError, isExclaimError } from "../../src/errors.ts";
import { type BullmqClaimOptions, withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { type Answer, ScriptedPool, type Voucher } from "./scripted-pool.ts";

// Planted once and seen to fail here: moveToWait instead of moveToDelayed (B9 alone: the neighbour starves), a put-off without the
// throw (B8: the worker reports errors), no bound on deferrals (B10), every thrown error wrapped in another.

const contended: Answer = { status: "contended", retryAfterMs: 0 };
type Options = Partial<BullmqClaimOptions<TestJob, Voucher>>;

for (const setup of bullmqSetups) {
  describe(setup.name, () => {
    let bull: Bull;

    beforeEach(async () => {
      bull = await setup.open();
    });

    afterEach(() => bull.close());

    /** Starts a worker whose handler gives the code, and adds one job. */
    async function deliver(pool: ScriptedPool, options: Options = {}, jobOptions = {}): Promise<string> {
      const claimant = (job: TestJob) => String(job.data.user_id);
      bull.work(withClaim(async (_job: TestJob, claim) => ({ code: claim.row.code }), { pool, claimant, ...options }));
      return bull.add({ user_id: 7 }, jobOptions);
    }

    it("returns a completed claim's result as the job's", async () => {
      const pool = new ScriptedPool("run");

      const id = await deliver(pool, { scope: () => ({ campaign_id: 42 }), pick: () => "1" });

      const job = await bull.reaches(id, "completed");
      expect(job.returnvalue).toEqual({ code: "SUMMER-1" });
      expect(pool.requests).toMatchObject([
        { claimant: "7", scope: { campaign_id: 42 }, pick: "1", messageId: id, lastAttempt: true },
      ]);
    });

    it("returns the stored result of a replayed claim", async () => {
      const pool = new ScriptedPool({ status: "replayed", result: { code: "STORED" } });

      const id = await deliver(pool);

      expect((await bull.reaches(id, "completed")).returnvalue).toEqual({ code: "STORED" });
    });

    it("B8 B10 puts a contended job off without burning an attempt and counts how often", async () => {
      const pool = new ScriptedPool(contended, contended, contended, "run");
      const contexts: object[] = [];

      const id = await deliver(pool, {
        onContended: ({ message, outcome, claimant, deferrals, attemptsMade }) => {
          contexts.push({ id: message.id, status: outcome.status, claimant, deferrals, attemptsMade });
          return { do: "retry", delayMs: 30 };
        },
      });

      const job = await bull.reaches(id, "completed");
      expect(job.attemptsStarted).toBe(4);
      expect(contexts).toEqual([
        { id, status: "contended", claimant: "7", deferrals: 0, attemptsMade: 0 },
        { id, status: "contended", claimant: "7", deferrals: 1, attemptsMade: 0 },
        { id, status: "contended", claimant: "7", deferrals: 2, attemptsMade: 0 },
      ]);
      expect(pool.requests.map((request) => request.lastAttempt)).toEqual([true, true, true, true]);
      // BullMQ counts the attempt that succeeded.
      expect(job.attemptsMade).toBe(1);
      expect(bull.errors).toEqual([]);
    });

    it("B9 lets the neighbours of a contended job run while it is put off", async () => {
      const order: string[] = [];
      const pool = new ScriptedPool("run");
      pool.claim = async (request) => {
        order.push(request.claimant);
        return request.claimant === "7"
          ? { status: "contended", retryAfterMs: 0 }
          : { status: "completed", result: undefined as never };
      };
      const first = await bull.add({ user_id: 7 });
      const neighbour = await bull.add({ user_id: 8 });

      const claimant = (job: TestJob) => String(job.data.user_id);
      bull.work(
        withClaim(async (_job: TestJob) => {}, { pool, claimant, onContended: { do: "retry", delayMs: 50 }, maxDeferrals: 8 }),
      );

      await bull.reaches(neighbour, "completed");
      await bull.reaches(first, "failed");
      expect(order.indexOf("8")).toBeLessThan(8);
      expect(order.filter((who) => who === "7")).toHaveLength(9);
    });

    it("B10 fails a job that was put off maxDeferrals times, though it has burned no attempt", async () => {
      const pool = new ScriptedPool(contended);

      const id = await deliver(pool, { onContended: { do: "retry", delayMs: 10 }, maxDeferrals: 3 });

      const job = await bull.reaches(id, "failed");
      expect(pool.requests).toHaveLength(4);
      expect(job.failedReason).toContain("put off 3 times");
    });

    it("B11 retries a failed handler as often as the job's attempts say and tells the pool which is the last", async () => {
      const pool = new ScriptedPool("run");
      const handler = vi.fn(async (_job: TestJob) => {
        throw new RangeError("no such address");
      });
      bull.work(withClaim(handler, { pool, claimant: () => "7" }));

      const id = await bull.add({ user_id: 7 }, { attempts: 3 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toBe("no such address");
      expect(job.attemptsMade).toBe(3);
      expect(pool.requests.map((request) => request.lastAttempt)).toEqual([false, false, true]);
    });

    it("fails an empty pool visibly by default", async () => {
      const id = await deliver(new ScriptedPool({ status: "empty" }));

      expect((await bull.reaches(id, "failed")).failedReason).toBe("empty: the pool has no free row");
    });

    it("dead-letters with the reason at once, whatever attempts are left", async () => {
      const pool = new ScriptedPool({ status: "empty" });

      const id = await deliver(pool, { onEmpty: { do: "dead-letter", reason: "no vouchers left" } }, { attempts: 5 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toBe("no vouchers left");
      expect(job.attemptsMade).toBe(1);
      expect(pool.requests).toHaveLength(1);
    });

    it("completes with the rule's result when a rule says so", async () => {
      const id = await deliver(new ScriptedPool({ status: "taken" }), { onTaken: { do: "complete", result: "seat is gone" } });

      expect((await bull.reaches(id, "completed")).returnvalue).toBe("seat is gone");
    });

    it("waits while the database is unreachable, without burning the only attempt", async () => {
      const down: Answer = { status: "failed", error: new ExclaimError("DATABASE_UNREACHABLE", "connect ECONNREFUSED") };

      const id = await deliver(new ScriptedPool(down, down, "run"));

      const job = await bull.reaches(id, "completed");
      expect(job.attemptsStarted).toBe(3);
    });

    it("B6 dead-letters a result that cannot be stored, so that its effects are not repeated", async () => {
      const refused = new ExclaimError("RESULT_NOT_SERIALIZABLE", "the result holds a bigint");
      const pool = new ScriptedPool({ status: "failed", error: refused });

      const id = await deliver(pool, {}, { attempts: 3 });

      expect((await bull.reaches(id, "failed")).failedReason).toBe("RESULT_NOT_SERIALIZABLE: the result holds a bigint");
      expect(pool.requests).toHaveLength(1);
    });

    it.each([
      ["gives nothing", (job: TestJob) => job.data.user_id as unknown as string, "a value of type undefined"],
      ["gives an empty text", () => "", "an empty text"],
      ["throws", () => raise(new TypeError("no data")), "no data"],
    ])("dead-letters a job whose claimant function %s, without asking the pool", async (_case, claimant, reason) => {
      const pool = new ScriptedPool("run");
      const thrown: unknown[] = [];
      const worker = bull.work(withClaim(async (_job: TestJob) => {}, { pool, claimant }));
      worker.on("failed", (_job, error) => thrown.push(error));

      const id = await bull.add({}, { attempts: 5 });

      const { failedReason, attemptsMade } = await bull.reaches(id, "failed");
      expect(failedReason).toContain("CLAIMANT_MISSING");
      expect(failedReason).toContain(reason);
      expect(attemptsMade).toBe(1);
      expect(pool.requests).toEqual([]);
      expect(pool.givenUp).toEqual([]);
      await eventually(() => expect(thrown).toHaveLength(1));
      expect(isExclaimError(thrown[0], "CLAIMANT_MISSING")).toBe(true);
    });

    it("turns what is not an Error into one, so that the worker does not break on it", async () => {
      const handler = async (_job: TestJob) => {
        throw undefined;
      };
      bull.work(withClaim(handler, { pool: new ScriptedPool(), claimant: () => "7" }));

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "failed")).failedReason).toBe("the handler threw what is not an Error: undefined");
    });
  });
}

function raise(error: Error): never {
  throw error;
}
