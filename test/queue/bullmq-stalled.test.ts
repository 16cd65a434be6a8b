import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { type Answer, ScriptedPool } from "./scripted-pool.ts";

// Planted once and seen to fail here: no listener for `failed`; one that takes every failure for the end; one that gives up again
// what the pool has ended already; a rejection of giveUp left alone.

const claimant = (job: TestJob) => String(job.data.user_id);
const contended: Answer = { status: "contended", retryAfterMs: 0 };
/** Stalls are found at once, and nothing keeps the job lock alive. */
const STALLING = { stalledInterval: 200, skipLockRenewal: true, lockDuration: 10_000 };

for (const setup of bullmqSetups) {
  describe(setup.name, () => {
    let bull: Bull;
    let finish: () => void;
    let finished: Promise<void>;

    beforeEach(async () => {
      bull = await setup.open();
      finished = new Promise((resolve) => {
        finish = resolve;
      });
    });

    afterEach(async () => {
      finish();
      await bull.close();
    });

    it("B3 B4 puts the second run of a stalled job off while the first goes on in the same worker", async () => {
      const pool = new ScriptedPool("run", contended, { status: "replayed", result: "first" });
      const handler = vi.fn(async (_job: TestJob) => {
        await finished;
        return "first";
      });
      const onContended = { do: "retry", delayMs: 300 } as const;
      bull.work(withClaim(handler, { pool, claimant, onContended }), { ...STALLING, concurrency: 2 });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      await bull.loseLock(id);
      await eventually(() => expect(pool.requests).toHaveLength(2));
      finish();

      const job = await bull.reaches(id, "completed");
      expect(job.returnvalue).toBe("first");
      expect(handler).toHaveBeenCalledTimes(1);
      expect(pool.requests.map((request) => request.lastAttempt)).toEqual([true, true, true]);
    });

    it("B13 gives up the claim of a job that stalled too often, though the processor is not asked again", async () => {
      const pool = new ScriptedPool("run");
      const handler = vi.fn((_job: TestJob) => finished);
      const scope = () => ({ campaign_id: 42 });
      const processor = withClaim(handler, { pool, claimant, scope, onGiveUp: "release" });
      bull.work(processor, { ...STALLING, concurrency: 2, maxStalledCount: 0 });
      const id = await bull.add({ user_id: 7 }, { attempts: 5, jobId: "imp-spring-7" });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      await bull.loseLock(id);

      expect((await bull.reaches(id, "failed")).failedReason).toBe("job stalled more than allowable limit");
      // Planted: the import told by the processor alone: its row was pending for ever.
      const error = { code: "ABORTED", message: "BullMQ gave the job up: job stalled more than allowable limit" };
      await eventually(() =>
        expect(pool.accounted).toMatchObject([{ messageId: id, claimant: "7", end: { status: "given-up", error } }]),
      );
      await eventually(() =>
        expect(pool.givenUp).toEqual([{ claimant: "7", scope: { campaign_id: 42 }, messageId: id, onGiveUp: "release" }]),
      );
      expect(handler).toHaveBeenCalledTimes(1);
    });

    it("B13 gives up such a job on a worker whose processor never ran, if it watches the worker", async () => {
      const pool = new ScriptedPool("run");
      const handler = vi.fn((_job: TestJob) => finished);
      const crashed = bull.work(withClaim(handler, { pool, claimant }), { ...STALLING, lockDuration: 300, maxStalledCount: 0 });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));
      await crashed.close(true);
      const fresh = withClaim(async (_job: TestJob) => {}, { pool, claimant });

      fresh.watch(bull.work(fresh, { ...STALLING, maxStalledCount: 0 }));

      await bull.reaches(id, "failed");
      await eventually(() => expect(pool.givenUp).toEqual([{ claimant: "7", messageId: id, onGiveUp: "keep" }]));
    });

    it("gives nothing up for a failure that BullMQ retries, nor for the last one, which the pool was told of", async () => {
      const pool = new ScriptedPool("run");
      const failures = vi.fn();
      const handler = async (_job: TestJob) => {
        throw new Error("no such address");
      };
      const worker = bull.work(withClaim(handler, { pool, claimant, onGiveUp: "release" }));
      worker.on("failed", failures);

      await bull.add({ user_id: 7 }, { attempts: 3 });

      await eventually(() => expect(failures).toHaveBeenCalledTimes(3));
      expect(pool.givenUp).toEqual([]);
    });

    it("B10 gives up a job that BullMQ refuses to start once more", async () => {
      const pool = new ScriptedPool(contended);
      const processor = withClaim(async (_job: TestJob) => {}, { pool, claimant, onContended: { do: "retry", delayMs: 10 } });
      bull.work(processor, { maxStartedAttempts: 2 });

      const id = await bull.add({ user_id: 7 }, { attempts: 5 });

      expect((await bull.reaches(id, "failed")).failedReason).toBe("job started more than allowable limit");
      await eventually(() => expect(pool.givenUp).toEqual([{ claimant: "7", messageId: id, onGiveUp: "keep" }]));
      expect(pool.requests).toHaveLength(2);
      expect(pool.accounted).toEqual([]);
    });

    it("reports it on the worker when a claim cannot be given up", async () => {
      const pool = new ScriptedPool({ status: "lost", error: new ExclaimError("LEASE_LOST", "the lease is over") });
      pool.onGiveUp = () => Promise.reject(new ExclaimError("DATABASE_UNREACHABLE", "connect ECONNREFUSED"));
      bull.work(withClaim(async (_job: TestJob) => {}, { pool, claimant, onLost: { do: "fail" } }));

      const id = await bull.add({ user_id: 7 });

      await bull.reaches(id, "failed");
      await eventually(() => expect(bull.errors).toHaveLength(1));
      expect(bull.errors[0]).toMatchObject({
        code: "DATABASE_UNREACHABLE",
        message: expect.stringContaining(`job ${id} failed for good`),
      });
    });
  });
}
