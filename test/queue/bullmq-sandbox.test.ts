import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Bull, bullmqSetups } from "./bullmq-setups.ts";

const PROCESSOR = fileURLToPath(new URL("./bullmq-sandboxed-processor.ts", import.meta.url));
const IN_CHILD = { workerForkOptions: { execArgv: ["--import", "tsx"] } };

for (const setup of bullmqSetups) {
  describe(`B15 a processor in a process of its own, ${setup.name}`, () => {
    let bull: Bull;

    beforeEach(async () => {
      bull = await setup.open();
    });

    afterEach(() => bull.close());

    it("puts a contended job off without burning an attempt, and completes it later", async () => {
      bull.work(PROCESSOR, IN_CHILD);

      const id = await bull.add({ user_id: 7 });

      const job = await bull.reaches(id, "completed");
      expect(job.returnvalue).toBe("SUMMER-1 for 7");
      expect(job.attemptsStarted).toBe(2);
      expect(job.attemptsMade).toBe(1);
    });

    it("dead-letters a job without a claimant at once", async () => {
      bull.work(PROCESSOR, IN_CHILD);

      const id = await bull.add({}, { attempts: 5 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toContain("CLAIMANT_MISSING");
      expect(job.attemptsMade).toBe(1);
    });
  });
}
