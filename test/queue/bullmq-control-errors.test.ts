import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { judge } from "../../src/queue/bullmq-control-errors.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { ScriptedPool } from "./scripted-pool.ts";

// Planted once and seen to fail here: every error of the handler wrapped in another (delay, rate limit, for good), every one judged
// a failure, and the engine's error of a cancelled or lost claim put before what the handler told BullMQ.

const claimant = () => "7";

for (const setup of bullmqSetups) {
  describe(`B7 ${setup.name}`, () => {
    let bull: Bull;
    let pool: ScriptedPool;

    beforeEach(async () => {
      bull = await setup.open();
      pool = new ScriptedPool("run");
    });

    afterEach(() => bull.close());

    /** Runs `first` at the first pickup; later ones succeed. Gives what the pool was told of the error. */
    function work(first: (job: TestJob) => Promise<Error>, options = {}) {
      const verdicts: unknown[] = [];
      const handler = async (job: TestJob) => {
        if (job.attemptsStarted > 1) return "done";
        const error = Object.freeze(await first(job));
        verdicts.push(pool.requests[0]?.judge?.(error));
        throw error;
      };
      const worker = bull.work(withClaim(handler, { pool, claimant }), options);
      return { worker, verdicts };
    }

    it("lets a handler delay its own job: no attempt is burned", async () => {
      const { verdicts } = work(async (job) => {
        await job.moveToDelayed(Date.now() + 30, job.token);
        return new setup.errors.DelayedError();
      });

      const id = await bull.add({ user_id: 7 });

      const job = await bull.reaches(id, "completed");
      expect(job.attemptsStarted).toBe(2);
      expect(job.returnvalue).toBe("done");
      expect(verdicts).toEqual(["pause"]);
    });

    it("lets a handler move its own job back to waiting: no attempt is burned", async () => {
      const { verdicts } = work(async (job) => {
        await job.moveToWait(job.token);
        return new setup.errors.WaitingError();
      });

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "completed")).returnvalue).toBe("done");
      expect(verdicts).toEqual(["pause"]);
    });

    it("lets a handler wait for its job's children", async () => {
      const { verdicts } = work(async (job) => {
        await bull.addChild(job.id ?? "");
        await job.moveToWaitingChildren(job.token ?? "");
        return new setup.errors.WaitingChildrenError();
      });

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "waiting-children")).attemptsMade).toBe(0);
      expect(verdicts).toEqual(["pause"]);
    });

    it("B12 lets a handler limit the rate of its queue: no attempt is burned", async () => {
      const { verdicts } = work(
        async () => {
          await bull.queue.rateLimit(50);
          return new setup.errors.RateLimitError();
        },
        { limiter: { max: 100, duration: 1_000 } },
      );

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "completed")).returnvalue).toBe("done");
      expect(verdicts).toEqual(["pause"]);
    });

    it("lets a handler fail its job for good", async () => {
      const { verdicts } = work(async () => new setup.errors.UnrecoverableError("card was stolen"));

      const id = await bull.add({ user_id: 7 }, { attempts: 5 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toBe("card was stolen");
      expect(job.attemptsMade).toBe(1);
      expect(verdicts).toEqual(["final"]);
    });

    it("lets a handler fail its job for good when it is cancelled, and gives up the claim that was ended as aborted", async () => {
      const aborted = new ExclaimError("ABORTED", "the delivery was aborted");
      pool.whenHandlerThrows = () => ({ status: "failed", error: aborted });
      const { worker } = work(async (job) => {
        worker.cancelJob(job.id ?? "", "the user left");
        return new setup.errors.UnrecoverableError("cancelled");
      });

      const id = await bull.add({ user_id: 7 }, { attempts: 5 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toBe("cancelled");
      expect(job.attemptsMade).toBe(1);
      await eventually(() => expect(pool.givenUp).toEqual([{ claimant: "7", messageId: id, onGiveUp: "keep" }]));
    });

    it("lets a handler delay its own job though its lease was lost meanwhile", async () => {
      pool.whenHandlerThrows = () => ({ status: "lost", error: new ExclaimError("LEASE_LOST", "the lease is over") });
      work(async (job) => {
        await job.moveToDelayed(Date.now() + 30, job.token);
        return new setup.errors.DelayedError();
      });

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "completed")).attemptsStarted).toBe(2);
      expect(bull.errors).toEqual([]);
    });

    it("hands an ordinary error to the worker as the very object that was thrown", async () => {
      const thrown = new RangeError("no such address");
      const seen: unknown[] = [];
      const { worker, verdicts } = work(async () => thrown);
      worker.on("failed", (_job, error) => seen.push(error));

      await bull.add({ user_id: 7 });

      await eventually(() => expect(seen).toHaveLength(1));
      expect(seen[0]).toBe(thrown);
      expect(verdicts).toEqual(["failure"]);
    });
  });
}

describe("B15 judge", () => {
  it.each([
    [{ name: "DelayedError" }, "pause"],
    [{ name: "WaitingChildrenError", message: "" }, "pause"],
    [{ name: "Error", message: "bullmq:rateLimitExceeded" }, "pause"],
    [{ name: "UnrecoverableError" }, "final"],
    [{ name: "TypeError", message: "DelayedError" }, "failure"],
    ["DelayedError", "failure"],
    [undefined, "failure"],
    [null, "failure"],
  ] as const)("knows %j, a plain object from another process, as %s", (error, verdict) => {
    expect(judge(error)).toBe(verdict);
  });
});
