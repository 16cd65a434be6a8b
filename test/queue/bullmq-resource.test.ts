import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Claim } from "../../src/claim/claim.ts";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Resource } from "../../src/claim/resource.ts";
import { type BullmqResourceOptions, withClaim } from "../../src/queue/bullmq.ts";
import { gate } from "../claim/engine-in-memory.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";

for (const setup of bullmqSetups) {
  describe(`${setup.name} with a named resource`, () => {
    let bull: Bull;
    let database: FreshDatabase;
    let exclaim: Exclaim;
    let accounts: Resource;

    beforeEach(async () => {
      [bull, database] = await Promise.all([setup.open(), freshDatabase()]);
      exclaim = createExclaim({ database: database.pool, ttlMs: 2_000 });
      await exclaim.migrate();
      accounts = exclaim.resource("account");
    });

    afterEach(async () => {
      await bull.close();
      await exclaim.close();
      await database.drop();
    });

    const key = (job: TestJob) => String(job.data.user_id);

    /** Holds the key as another process would, until the returned function is called. */
    async function hold(): Promise<() => void> {
      const held = gate();
      const done = gate();
      void accounts.claim({ key: "7" }, () => {
        held.open();
        return done.opened;
      });
      await held.opened;
      return done.open;
    }

    function work(options: Partial<BullmqResourceOptions<TestJob>> = {}, concurrency = 10): void {
      const handler = async (_job: TestJob, claim: Claim<undefined>) => String(claim.token);
      bull.work(withClaim(handler, { resource: accounts, key, ...options }), { concurrency });
    }

    // Planted: the key left out of the claim; this test failed.
    it("S3 lets one job at a time work on a key, each with the next token", async () => {
      const { pool } = database;
      await pool.query("create table entry (user_id int, token bigint)");
      let working = 0;
      let most = 0;
      const handler = async (job: TestJob, claim: Claim<undefined>) => {
        working += 1;
        most = Math.max(most, working);
        await claim.transaction((tx) => tx.query("insert into entry values ($1, $2)", [job.data.user_id, String(tx.token)]));
        working -= 1;
      };
      bull.work(withClaim(handler, { resource: accounts, key, onContended: { do: "wait", upToMs: 10_000 } }), {
        concurrency: 8,
      });

      const ids = await Promise.all(Array.from({ length: 12 }, () => bull.add({ user_id: 7 })));
      await Promise.all(ids.map((id) => bull.reaches(id, "completed")));

      const { rows } = await pool.query("select token::int from entry order by token");
      expect(rows.map(({ token }) => token)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(most).toBe(1);
    });

    it("B8 puts a contended job off, and runs it once the key is free", async () => {
      const letGo = await hold();
      work({ onContended: { do: "retry", delayMs: 50 } });

      const id = await bull.add({ user_id: 7 });
      await bull.reaches(id, "delayed");
      letGo();

      const job = await bull.reaches(id, "completed");
      expect([job.returnvalue, job.attemptsMade]).toEqual(["2", 1]);
    });

    it("waits for the holder with the message unsettled, and then does what it is told", async () => {
      const letGo = await hold();
      work({ onContended: { do: "wait", upToMs: 200, otherwise: { do: "fail", reason: "busy for too long" } } });

      const inVain = await bull.reaches(await bull.add({ user_id: 7 }), "failed");
      letGo();
      const served = await bull.reaches(await bull.add({ user_id: 7 }), "completed");

      expect(inVain.failedReason).toBe("busy for too long");
      expect(served.returnvalue).toBe("2");
    });

    it("drops a contended job where somebody's work on the key is enough", async () => {
      const letGo = await hold();
      work({ onContended: { do: "drop" } });

      const job = await bull.reaches(await bull.add({ user_id: 7 }), "completed");
      letGo();

      expect(job.returnvalue).toBeNull();
    });

    it("dead-letters a job without a key and never runs it", async () => {
      work();

      const job = await bull.reaches(await bull.add({}, { attempts: 5 }), "failed");

      expect(job.failedReason).toContain('the key is "undefined"');
      expect(job.attemptsMade).toBe(1);
    });

    // Planted: backoff instead of the exact hint; the gap grew beyond what this test allows.
    it("keeps the interval between two starts, and starts the next one on time", async () => {
      const startsAtMs: number[] = [];
      const handler = async (_job: TestJob) => void startsAtMs.push(performance.now());
      bull.work(withClaim(handler, { resource: accounts, key, minIntervalMs: 1_000 }), { concurrency: 4 });

      const ids = await Promise.all([bull.add({ user_id: 7 }), bull.add({ user_id: 7 }), bull.add({ user_id: 7 })]);
      await Promise.all(ids.map((id) => bull.reaches(id, "completed")));

      const gapsMs = startsAtMs.slice(1).map((atMs, index) => atMs - (startsAtMs[index] ?? 0));
      expect(Math.min(...gapsMs)).toBeGreaterThan(900);
      expect(Math.max(...gapsMs)).toBeLessThan(1_900);
    });
  });
}
