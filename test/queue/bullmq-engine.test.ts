import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Claim } from "../../src/claim/claim.ts";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { untilAborted, type Voucher } from "./scripted-pool.ts";

// Jobs that stall over the real engine and ledger; the rest of it is in the suite that all brokers pass.

const claimant = (job: TestJob) => String(job.data.user_id);
const SOON = { do: "retry", delayMs: 50 } as const;

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
  });
}
