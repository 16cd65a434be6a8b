import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Claim } from "../../src/claim/claim.ts";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { untilAborted, type Voucher } from "./scripted-pool.ts";

// The processor over the real engine and ledger. Planted once and seen to fail here: a lost job lock told to the engine as the
// failure of the last attempt (its row is released and the redelivery gets another).

const claimant = (job: TestJob) => String(job.data.user_id);
const SOON = { do: "retry", delayMs: 50 } as const;

interface Result {
  readonly code: string;
}

for (const setup of bullmqSetups) {
  describe(setup.name, () => {
    let bull: Bull;
    let database: FreshDatabase;
    let exclaim: Exclaim;
    let pool: Pool<Voucher>;

    beforeEach(async () => {
      bull = await setup.open();
      database = await freshDatabase();
      await database.pool.query("create table voucher_item (id int primary key, code text not null, user_id text)");
      await database.pool.query("insert into voucher_item (id, code) values (1, 'A'), (2, 'B'), (3, 'C')");
      exclaim = createExclaim({ database: database.pool, ttlMs: 5_000 });
      await exclaim.migrate();
      pool = exclaim.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id", orderBy: "id" });
    });

    afterEach(async () => {
      const closed = exclaim.close({ drainMs: 100 });
      await bull.close();
      await closed;
      await database.drop();
    });

    async function owners(): Promise<Record<string, string>> {
      const { rows } = await database.pool.query(
        "select code, user_id from voucher_item where user_id is not null order by id",
      );
      return Object.fromEntries(rows.map((row) => [row.code, row.user_id]));
    }

    it("gives every claimant a row of its own, and a message delivered twice the same result, from one run", async () => {
      const handler = vi.fn(async (_job: TestJob, claim: Claim<Voucher>) => ({ code: claim.row.code }));
      const processor = withClaim(handler, { pool, claimant, onContended: SOON });
      bull.work(processor, { concurrency: 4 });
      bull.work(processor, { concurrency: 4 });

      const ids = await Promise.all([7, 8, 9, 7, 8, 9].map((user_id) => bull.add({ user_id })));

      const codes: string[] = [];
      for (const id of ids) codes.push(((await bull.reaches(id, "completed")).returnvalue as Result).code);
      expect([...codes.slice(0, 3)].sort()).toEqual(["A", "B", "C"]);
      expect(codes.slice(3)).toEqual(codes.slice(0, 3));
      expect(handler).toHaveBeenCalledTimes(3);
    });

    it("puts a duplicate off while the first is at work, burns none of its attempts, and answers it later", async () => {
      let finish = () => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const handler = vi.fn(async (_job: TestJob, claim: Claim<Voucher>) => {
        await finished;
        return { code: claim.row.code };
      });
      const attemptsMade: number[] = [];
      const onContended = (context: { readonly attemptsMade: number }) => {
        attemptsMade.push(context.attemptsMade);
        return SOON;
      };
      bull.work(withClaim(handler, { pool, claimant, onContended }), { concurrency: 2 });
      const first = await bull.add({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      const duplicate = await bull.add({ user_id: 7 });
      await eventually(() => expect(attemptsMade.length).toBeGreaterThan(2));
      finish();

      expect((await bull.reaches(first, "completed")).returnvalue).toEqual({ code: "A" });
      expect((await bull.reaches(duplicate, "completed")).returnvalue).toEqual({ code: "A" });
      expect(new Set(attemptsMade)).toEqual(new Set([0]));
      expect(handler).toHaveBeenCalledTimes(1);
    });

    it("B2 B13 resumes the same row under a newer token after the job lock was lost, though it was the last attempt", async () => {
      const runs: Pick<Claim, "key" | "token" | "attempt" | "resumed">[] = [];
      const handler = async (_job: TestJob, claim: Claim<Voucher>) => {
        runs.push(claim);
        if (claim.attempt === 1) await untilAborted(claim.signal);
        return { code: claim.row.code };
      };
      bull.work(withClaim(handler, { pool, claimant, onContended: SOON, onFailure: "release", onGiveUp: "release" }), {
        lockDuration: 10_000,
        lockRenewTime: 100,
        stalledInterval: 200,
      });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(runs).toHaveLength(1));

      await bull.loseLock(id);

      const job = await bull.reaches(id, "completed");
      expect(job.returnvalue).toEqual({ code: "A" });
      expect(job.attemptsMade).toBe(1);
      expect(runs.map(({ key, attempt, resumed }) => ({ key, attempt, resumed }))).toEqual([
        { key: "1", attempt: 1, resumed: false },
        { key: "1", attempt: 2, resumed: true },
      ]);
      const [before, after] = runs.map((run) => run.token);
      expect(after).toBeGreaterThan(before ?? 0n);
    });

    it("B4 keeps the two runs of a stalled job apart in one worker: the second is answered with the first one's result", async () => {
      let finish = () => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const handler = vi.fn(async (_job: TestJob, claim: Claim<Voucher>) => {
        await finished;
        return { code: claim.row.code };
      });
      const onContended = vi.fn(() => SOON);
      bull.work(withClaim(handler, { pool, claimant, onContended }), {
        concurrency: 2,
        lockDuration: 10_000,
        skipLockRenewal: true,
        stalledInterval: 200,
      });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      await bull.loseLock(id);
      await eventually(() => expect(onContended).toHaveBeenCalled());
      finish();

      expect((await bull.reaches(id, "completed")).returnvalue).toEqual({ code: "A" });
      expect(handler).toHaveBeenCalledTimes(1);
    });

    it.each([
      ["frees", "release", {}],
      ["keeps", "keep", { A: "7" }],
    ] as const)("B11 %s the row once the attempts are exhausted, when onGiveUp is %s", async (_does, onGiveUp, left) => {
      const keys: string[] = [];
      const handler = async (_job: TestJob, claim: Claim<Voucher>) => {
        keys.push(claim.key);
        throw new Error("no such address");
      };
      bull.work(withClaim(handler, { pool, claimant, onGiveUp }));

      const id = await bull.add({ user_id: 7 }, { attempts: 3 });

      await bull.reaches(id, "failed");
      expect(keys).toEqual(["1", "1", "1"]);
      expect(await owners()).toEqual(left);
    });

    it("B13 frees the row of a job that stalled too often, once its lease is over", async () => {
      const handler = vi.fn((_job: TestJob, claim: Claim<Voucher>) => untilAborted(claim.signal));
      const options = { pool, claimant, onContended: SOON, onGiveUp: "release" } as const;
      bull.work(withClaim(handler, options), {
        lockDuration: 10_000,
        lockRenewTime: 100,
        stalledInterval: 200,
        maxStalledCount: 0,
      });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      await bull.loseLock(id);

      expect((await bull.reaches(id, "failed")).failedReason).toBe("job stalled more than allowable limit");
      await eventually(async () => expect(await owners()).toEqual({}));
    });

    it("fails visibly when the pool is empty", async () => {
      await database.pool.query("update voucher_item set user_id = 'somebody'");
      const handler = vi.fn(async (_job: TestJob) => {});
      bull.work(withClaim(handler, { pool, claimant }));

      const id = await bull.add({ user_id: 7 });

      expect((await bull.reaches(id, "failed")).failedReason).toBe("empty: the pool has no free row");
      expect(handler).not.toHaveBeenCalled();
    });

    it("B6 refuses a bigint result once, with nothing committed", async () => {
      await database.pool.query("create table redemption (user_id text)");
      const handler = vi.fn(async (_job: TestJob, claim: Claim<Voucher>) => {
        await claim.complete(async (tx) => {
          await tx.query("insert into redemption values ($1)", [claim.claimant]);
          return { token: claim.token };
        });
      });
      bull.work(withClaim(handler, { pool, claimant }));

      const id = await bull.add({ user_id: 7 }, { attempts: 3 });

      expect((await bull.reaches(id, "failed")).failedReason).toContain("RESULT_NOT_SERIALIZABLE");
      expect(handler).toHaveBeenCalledTimes(1);
      expect((await database.pool.query("select * from redemption")).rows).toEqual([]);
    });

    it("dead-letters a job whose claimant is the text of a missing value", async () => {
      const handler = vi.fn(async (_job: TestJob) => {});
      bull.work(withClaim(handler, { pool, claimant }));

      const id = await bull.add({}, { attempts: 3 });

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toContain("CLAIMANT_MISSING");
      expect(job.attemptsMade).toBe(1);
      expect(handler).not.toHaveBeenCalled();
      expect(await owners()).toEqual({});
    });
  });
}
