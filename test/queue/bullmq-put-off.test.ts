import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type BullmqJob, withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { type Answer, ScriptedPool } from "./scripted-pool.ts";

// Planted once and seen to fail here: the refusal itself thrown instead of a DelayedError, moveToDelayed without the job token.

const contended: Answer = { status: "contended", retryAfterMs: 0 };
const claimant = () => "7";

for (const setup of bullmqSetups) {
  describe(`a job that cannot be put off, ${setup.name}`, () => {
    let bull: Bull;

    beforeEach(async () => {
      bull = await setup.open();
    });

    afterEach(() => bull.close());

    it("B13 is neither failed nor charged an attempt, is reported, and comes back as stalled", async () => {
      const pool = new ScriptedPool(contended, "run");
      const { claim } = pool;
      pool.claim = async (request, handler) => {
        if (pool.requests.length === 0) await bull.loseLock(request.messageId ?? "");
        return claim.call(pool, request, handler) as never;
      };
      const failed = vi.fn();
      const worker = bull.work(
        withClaim(async (_job: TestJob) => "done", { pool, claimant }),
        { stalledInterval: 200 },
      );
      worker.on("failed", failed);

      const id = await bull.add({ user_id: 7 });

      const job = await bull.reaches(id, "completed");
      expect(job.attemptsStarted).toBe(2);
      expect(job.attemptsMade).toBe(1);
      expect(failed).not.toHaveBeenCalled();
      expect(bull.errors.filter(({ message }) => message.includes(`job ${id} could not be put off`))).toHaveLength(1);
    });

    it("B13 is not failed either when the server refuses it for a moment only, with the job lock still good", async () => {
      const failed = vi.fn();
      const failsOver = (job: TestJob) => {
        if (job.attemptsStarted === 1) job.moveToDelayed = () => Promise.reject(new Error("READONLY replica"));
        return "7";
      };
      const pool = new ScriptedPool(contended, "run");
      const processor = withClaim(async (_job: TestJob) => "done", { pool, claimant: failsOver });
      bull.work(processor, { lockDuration: 500, stalledInterval: 200 }).on("failed", failed);

      const id = await bull.add({ user_id: 7 });

      const job = await bull.reaches(id, "completed");
      expect(job.attemptsStarted).toBe(2);
      expect(failed).not.toHaveBeenCalled();
      expect(bull.errors).toMatchObject([{ code: "ABORTED", message: expect.stringContaining("READONLY replica") }]);
    });

    it("B14 is left to another worker when its own is closed by force meanwhile", async () => {
      const pool = new ScriptedPool(contended, "run");
      const { claim } = pool;
      let answered = false;
      pool.claim = async (request, handler) => {
        const first = pool.requests.length === 0;
        const outcome = await claim.call(pool, request, handler);
        if (first) {
          await worker.close(true);
          answered = true;
        }
        return outcome as never;
      };
      const processor = withClaim(async (_job: TestJob) => "done", { pool, claimant });
      const worker = bull.work(processor, { lockDuration: 500, stalledInterval: 200 });
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(answered).toBe(true));

      bull.work(processor, { stalledInterval: 200 });

      expect((await bull.reaches(id, "completed")).attemptsMade).toBe(1);
    });
  });
}

describe("a job that is put off by hand", () => {
  function jobWith(moveToDelayed: BullmqJob["moveToDelayed"]): BullmqJob {
    return { id: "1", attemptsMade: 0, attemptsStarted: 1, opts: {}, moveToDelayed };
  }

  it("B8 is refused without a job token, because BullMQ would then move it from whoever holds it", async () => {
    const moveToDelayed = vi.fn(async () => {});
    const processor = withClaim(async (_job: BullmqJob) => {}, { pool: new ScriptedPool(contended), claimant });

    const done = processor(jobWith(moveToDelayed));

    await expect(done).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("job token") });
    expect(moveToDelayed).not.toHaveBeenCalled();
  });

  it("B8 is moved with the token it came with, no sooner than its rule says", async () => {
    const moveToDelayed = vi.fn(async (_timestamp: number) => {});
    const onContended = { do: "retry", delayMs: 60_000 } as const;
    const processor = withClaim(async (_job: BullmqJob) => {}, { pool: new ScriptedPool(contended), claimant, onContended });
    const before = Date.now();

    await expect(processor(jobWith(moveToDelayed), "worker:5")).rejects.toMatchObject({ name: "DelayedError" });

    expect(moveToDelayed).toHaveBeenCalledExactlyOnceWith(expect.any(Number), "worker:5");
    const timestamp = moveToDelayed.mock.calls[0]?.[0];
    expect(timestamp).toBeGreaterThanOrEqual(before + 60_000);
    expect(timestamp).toBeLessThan(before + 70_000);
  });

  it("B9 is never back at once: a rule that gives no delay is no hot loop", async () => {
    const moveToDelayed = vi.fn(async (_timestamp: number) => {});
    const onContended = { do: "retry", delayMs: 0 } as const;
    const processor = withClaim(async (_job: BullmqJob) => {}, { pool: new ScriptedPool(contended), claimant, onContended });
    const before = Date.now();

    await expect(processor(jobWith(moveToDelayed), "worker:5")).rejects.toMatchObject({ name: "DelayedError" });

    expect(moveToDelayed.mock.calls[0]?.[0]).toBeGreaterThanOrEqual(before + 10);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("is refused when a rule gives a delay of %d", async (delayMs) => {
    const moveToDelayed = vi.fn(async () => {});
    const onContended = () => ({ do: "retry", delayMs }) as const;
    const processor = withClaim(async (_job: BullmqJob) => {}, { pool: new ScriptedPool(contended), claimant, onContended });

    await expect(processor(jobWith(moveToDelayed), "worker:5")).rejects.toMatchObject({ code: "CONFIG_INVALID" });

    expect(moveToDelayed).not.toHaveBeenCalled();
  });
});
