import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { type Answer, ScriptedPool } from "./scripted-pool.ts";

// What only BullMQ's people see of a disposition; what comes of one is in the suite that all brokers pass.
// Planted once and seen to fail here: a put-off without the throw (B8: the worker reports errors), every thrown error wrapped in another.

const contended: Answer = { status: "contended", retryAfterMs: 0 };
const claimant = (job: TestJob) => String(job.data.user_id);

for (const setup of bullmqSetups) {
  describe(setup.name, () => {
    let bull: Bull;

    beforeEach(async () => {
      bull = await setup.open();
    });

    afterEach(() => bull.close());

    it("B8 B10 shows a job that was put off as started often and tried once", async () => {
      const pool = new ScriptedPool(contended, contended, contended, "run");
      const onContended = { do: "retry", delayMs: 30 } as const;
      bull.work(withClaim(async (_job: TestJob) => "done", { pool, claimant, onContended }));

      const id = await bull.add({ user_id: 7 });

      const { attemptsStarted, attemptsMade } = await bull.reaches(id, "completed");
      // BullMQ counts the attempt that succeeded.
      expect({ attemptsStarted, attemptsMade }).toEqual({ attemptsStarted: 4, attemptsMade: 1 });
      expect(bull.errors).toEqual([]);
    });

    it("gives `failed` listeners of a dead-lettered job an error with the code, after one attempt", async () => {
      const thrown: unknown[] = [];
      const worker = bull.work(withClaim(async (_job: TestJob) => {}, { pool: new ScriptedPool(), claimant: () => "" }));
      worker.on("failed", (_job, error) => thrown.push(error));

      const id = await bull.add({}, { attempts: 5 });

      expect((await bull.reaches(id, "failed")).attemptsMade).toBe(1);
      await eventually(() => expect(thrown).toHaveLength(1));
      expect(isExclaimError(thrown[0], "CLAIMANT_MISSING")).toBe(true);
    });

    it("turns what is not an Error into one, so that the worker does not break on it", async () => {
      const handler = async (_job: TestJob) => {
        throw undefined;
      };
      bull.work(withClaim(handler, { pool: new ScriptedPool(), claimant }));

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "failed")).failedReason).toBe("the handler threw what is not an Error: undefined");
    });
  });
}
