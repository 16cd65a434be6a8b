import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { RunningClaims } from "../../src/queue/bullmq-running.ts";
import { eventually } from "../support/eventually.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";
import { ScriptedPool, untilAborted } from "./scripted-pool.ts";

// Planted once and seen to fail here: a rest parameter, and a default on the third (B1); no listener for lockRenewalFailed (B2); a
// lost job lock told as a failure of the job (B2 B13); calls noted by job id alone (B4).

const claimant = (job: TestJob) => String(job.data.user_id);
/** The job lock is renewed every 100 ms or so: its loss is soon noticed, and no stall check interferes. */
const QUICK_RENEWAL = { lockDuration: 10_000, lockRenewTime: 100, concurrency: 2 };

for (const setup of bullmqSetups) {
  describe(setup.name, () => {
    let bull: Bull;
    let started: string[];
    let reasons: Map<string, unknown>;

    beforeEach(async () => {
      bull = await setup.open();
      started = [];
      reasons = new Map();
    });

    afterEach(() => bull.close());

    /** A processor whose handler runs until its claim is aborted, and notes why. */
    function untilAbortedProcessor(options = {}) {
      const handler = (job: TestJob, claim: { readonly signal: AbortSignal }) => {
        claim.signal.addEventListener("abort", () => reasons.set(claimant(job), claim.signal.reason), { once: true });
        started.push(claimant(job));
        return untilAborted(claim.signal);
      };
      return withClaim(handler, { pool: new ScriptedPool("run"), claimant, ...options });
    }

    it("B1 aborts the claim of a cancelled job, with an error that carries the bare reason", async () => {
      const worker = bull.work(untilAbortedProcessor());
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(started).toEqual(["7"]));

      worker.cancelJob(id, "the user left");

      const job = await bull.reaches(id, "failed");
      expect(job.failedReason).toBe("BullMQ cancelled this job: the user left");
      expect(isExclaimError(reasons.get("7"), "ABORTED")).toBe(true);
    });

    it("B2 aborts the claim of a job whose lock is lost, and no other", async () => {
      bull.work(untilAbortedProcessor(), QUICK_RENEWAL);
      const id = await bull.add({ user_id: 7 });
      await bull.add({ user_id: 8 });
      await eventually(() => expect(started).toHaveLength(2));

      await bull.loseLock(id);

      await eventually(() => expect(isExclaimError(reasons.get("7"), "LEASE_LOST")).toBe(true));
      expect(reasons.has("8")).toBe(false);
    });

    it("B2 B13 keeps the row of a job whose lock is lost for its redelivery, though it was the last attempt", async () => {
      const pool = new ScriptedPool("run");
      const outcomes: unknown[] = [];
      const failed = vi.fn();
      const handler = async (job: TestJob, claim: { readonly signal: AbortSignal }) => {
        started.push(claimant(job));
        if (job.attemptsStarted > 1) return "done";
        await untilAborted(claim.signal).catch(() => {});
        throw new TypeError("fetch failed");
      };
      const onLost = ({ outcome }: { readonly outcome: unknown }) => {
        outcomes.push(outcome, pool.requests[0]?.judge?.(new TypeError("fetch failed")));
        return { do: "retry", delayMs: 10 } as const;
      };
      const worker = bull.work(withClaim(handler, { pool, claimant, onGiveUp: "release", onLost }), {
        ...QUICK_RENEWAL,
        stalledInterval: 200,
      });
      worker.on("failed", failed);
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(started).toHaveLength(1));

      await bull.loseLock(id);

      expect((await bull.reaches(id, "completed")).returnvalue).toBe("done");
      expect(outcomes).toMatchObject([{ status: "lost", error: { code: "LEASE_LOST" } }, "pause"]);
      expect(failed).not.toHaveBeenCalled();
      expect(pool.givenUp).toEqual([]);
    });

    it("B2 B17 aborts under a lost lock when the processor is bound to nothing and watches its worker", async () => {
      const processor = untilAbortedProcessor();
      const worker = bull.work(processor.bind(undefined), QUICK_RENEWAL);
      processor.watch(worker);
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(started).toEqual(["7"]));

      await bull.loseLock(id);

      await eventually(() => expect(isExclaimError(reasons.get("7"), "LEASE_LOST")).toBe(true));
    });

    it("B17 finds the worker of a host object that the processor is bound to", async () => {
      const host = { worker: undefined as unknown };
      host.worker = bull.work(untilAbortedProcessor().bind(host), QUICK_RENEWAL);
      const id = await bull.add({ user_id: 7 });
      await eventually(() => expect(started).toEqual(["7"]));

      await bull.loseLock(id);

      await eventually(() => expect(isExclaimError(reasons.get("7"), "LEASE_LOST")).toBe(true));
    });
  });
}

describe("RunningClaims", () => {
  const here = { id: "here" };
  const elsewhere = { id: "elsewhere" };

  it("B4 still aborts the newer run of a job after the older run of the same job has ended", () => {
    const running = new RunningClaims();
    const older = running.begin({ jobId: "1", token: "here:1", worker: here }, undefined);
    const newer = running.begin({ jobId: "1", token: "here:2", worker: here }, undefined);

    older.end();
    running.abortLost(here, ["1"]);

    expect(older.signal.aborted).toBe(false);
    expect(isExclaimError(newer.signal.reason, "LEASE_LOST")).toBe(true);
  });

  it.each([
    ["by the worker that called", elsewhere],
    ["by the job token", undefined],
  ])("leaves a job of the same id on another worker alone, known %s", (_how, worker) => {
    const running = new RunningClaims();
    const other = running.begin({ jobId: "1", token: "elsewhere:1", worker }, undefined);

    running.abortLost(here, ["1"]);
    const untouched = other.signal.aborted;
    running.abortLost(elsewhere, ["1"]);

    expect(untouched).toBe(false);
    expect(other.signal.aborted).toBe(true);
  });

  it("aborts at once when BullMQ's signal is aborted already", () => {
    const run = new RunningClaims().begin({ jobId: "1", token: "here:1", worker: here }, AbortSignal.abort("too late"));

    expect(run.signal.aborted).toBe(true);
    expect(run.signal.reason).toMatchObject({ code: "ABORTED", message: "BullMQ cancelled this job: too late" });
  });

  it("leaves no listener on BullMQ's signal once the run has ended", () => {
    const broker = new AbortController();
    const run = new RunningClaims().begin({ jobId: "1", token: "here:1", worker: here }, broker.signal);

    run.end();
    broker.abort("late");

    expect(run.signal.aborted).toBe(false);
  });
});
