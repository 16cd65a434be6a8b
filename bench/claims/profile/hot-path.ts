import { createExclaim } from "exclaim";
import { type BullmqJob, withClaim } from "exclaim/bullmq";
import pg from "pg";
import type { ClaimPlace } from "../endurance/voucher-claims.ts";

interface SignUp extends BullmqJob {
  readonly data: { readonly user_id: number };
}

export interface HotPath {
  /** Serves jobs of the next users, 1, 2, 3 and so on, as a worker of that concurrency does, but for the queue. */
  serve(jobs: number, concurrency: number): Promise<void>;
  close(): Promise<void>;
}

const DATABASE_CONNECTIONS = 20;

/** What `withClaim` does with a job between the queue's two commands: claim, handler, completion. */
export function openHotPath({ databaseUrl, table, ledgerSchema }: ClaimPlace): HotPath {
  const database = new pg.Pool({ connectionString: databaseUrl, max: DATABASE_CONNECTIONS });
  database.on("error", () => {});
  const exclaim = createExclaim({ database, schema: ledgerSchema });
  const pool = exclaim.pool<{ id: string; code: string }>({ table, ownerColumn: "user_id" });
  const processor = withClaim(async (_: SignUp, claim) => ({ code: claim.row.code }), {
    pool,
    claimant: (job) => String(job.data.user_id),
  });
  let users = 0;
  return {
    async serve(jobs, concurrency) {
      const last = users + jobs;
      const lane = async (): Promise<void> => {
        while (users < last) {
          users += 1;
          await processor(jobOf(users), "token");
        }
      };
      await Promise.all(Array.from({ length: concurrency }, lane));
    },
    async close() {
      await exclaim.close();
      await database.end();
    },
  };
}

/** What BullMQ hands to a processor, as far as `withClaim` looks at it. It is never put off here. */
function jobOf(userId: number): SignUp {
  return { id: String(userId), data: { user_id: userId }, attemptsMade: 0, attemptsStarted: 1, opts: {}, moveToDelayed };
}

async function moveToDelayed(): Promise<void> {
  throw new Error("a job was put off");
}
