import { type BullmqJob, withClaim } from "../../src/queue/bullmq.ts";
import { ScriptedPool } from "./scripted-pool.ts";

/** A processor as a user gives it by its path: BullMQ takes a module's default, and loads it in a child process. */
interface SignUpJob extends BullmqJob {
  readonly data: { readonly user_id?: number };
}

const pool = new ScriptedPool({ status: "contended", retryAfterMs: 0 }, "run");

const processor = withClaim(async (job: SignUpJob, claim) => `${claim.row.code} for ${job.data.user_id}`, {
  pool,
  claimant: (job) => (job.data.user_id === undefined ? "" : String(job.data.user_id)),
  onContended: { do: "retry", delayMs: 10 },
});

export { processor as default };
