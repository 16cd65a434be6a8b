import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { ScriptedPool } from "./scripted-pool.ts";

const [setup] = bullmqSetups;
const claimant = (job: TestJob): string => String(job.data.user_id);
const down = new ExclaimError("DATABASE_UNREACHABLE", "connect ECONNREFUSED");
const jobId = "imp-spring-7";

/** By which BullMQ ends a job that has attempts left. */
const NEVER_AGAIN = { settings: { backoffStrategy: () => -1 } };
const FIVE_TIMES = { attempts: 5, backoff: { type: "custom" } };

const failing = async (_job: TestJob): Promise<never> => {
  throw new RangeError("no such address");
};

describe("a job of an import", () => {
  let bull: Bull;
  let pool: ScriptedPool;

  beforeEach(async () => {
    if (setup === undefined) throw new Error("There is no set-up.");
    bull = await setup.open();
    pool = new ScriptedPool("run");
  });

  afterEach(() => bull.close());

  // Planted: failed all the same: the row was pending for ever.
  it("S5 is put off instead of failed while its end cannot be recorded, and no attempt is burned by that", async () => {
    pool = new ScriptedPool({ status: "empty" });
    pool.onAccount = async () => {
      if (pool.accounted.length < 2) throw down;
    };
    bull.work(withClaim(async (_job: TestJob) => {}, { pool, claimant }));

    await bull.add({ user_id: 7 }, { jobId });

    const end = { status: "given-up", error: { code: "REFUSED" }, hasNoClaim: true };
    expect(await bull.reaches(jobId, "failed")).toMatchObject({ attemptsMade: 1 });
    expect(pool.accounted).toMatchObject(Array(2).fill({ messageId: jobId, claimant: "7", end }));
    expect(bull.errors).toMatchObject([{ code: "DATABASE_UNREACHABLE" }]);
  });

  // Planted: told by the processor alone, which knows of four more attempts.
  it("that its backoff strategy fails for good though attempts are left is accounted with what was thrown", async () => {
    bull.work(withClaim(failing, { pool, claimant }), NEVER_AGAIN);

    await bull.add({ user_id: 7 }, { jobId, ...FIVE_TIMES });

    const end = { status: "given-up", error: { message: "no such address" } };
    await bull.reaches(jobId, "failed");
    await eventually(() => expect(pool.accounted).toMatchObject([{ messageId: jobId, end }]));
  });

  // Planted: any error at the last attempt taken for the end.
  it("that its handler put off itself is not accounted, though it was its last attempt", async () => {
    const moved = vi.fn();
    const processor = async (job: TestJob, _claim: unknown) => {
      if (moved.mock.calls.length > 0) return "second";
      moved(pool.accounted.length);
      await job.moveToDelayed(Date.now() + 10, job.token);
      throw new (setup as NonNullable<typeof setup>).errors.DelayedError();
    };
    bull.work(withClaim(processor, { pool, claimant }));

    await bull.add({ user_id: 7 }, { jobId });

    await bull.reaches(jobId, "completed");
    expect(moved).toHaveBeenCalledTimes(1);
    expect(pool.accounted).toMatchObject([{ end: { status: "completed", resourceId: "1" } }]);
  });

  // Planted: told once and never again: the row was pending for ever.
  it("reports it on the worker when the end that BullMQ made cannot be recorded, and records it later", async () => {
    let tries = 0;
    pool.onAccount = () => {
      tries += 1;
      return tries === 1 ? Promise.reject(down) : Promise.resolve();
    };
    bull.work(withClaim(failing, { pool, claimant }), NEVER_AGAIN);

    await bull.add({ user_id: 7 }, { jobId, ...FIVE_TIMES });

    await eventually(() => expect(bull.errors).toHaveLength(1));
    expect(bull.errors[0]).toMatchObject({
      code: "DATABASE_UNREACHABLE",
      message: expect.stringContaining(`job ${jobId} failed for good and its import could not be told`),
    });
    await eventually(() => expect(tries).toBe(2));
    expect(bull.errors).toHaveLength(1);
  });

  it("whose claim its handler gave back is refused", async () => {
    pool = new ScriptedPool({ status: "completed", result: "given back", isReleased: true });
    bull.work(withClaim(async (_job: TestJob) => {}, { pool, claimant }));

    await bull.add({ user_id: 7 }, { jobId });

    const error = { code: "REFUSED", message: "released: the handler gave its row back" };
    await bull.reaches(jobId, "completed");
    expect(pool.accounted).toMatchObject([{ end: { status: "given-up", error } }]);
  });
});
