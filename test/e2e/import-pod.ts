/** A worker of its own process for the import test: claims vouchers, publishes a notification for each, and dispatches them. */
import { once } from "node:events";
import { type Job, Queue, Worker } from "bullmq";
import pg from "pg";
import { createExclaim } from "../../src/index.ts";
import { dispatchOutbox } from "../../src/outbox/dispatch-outbox.ts";
import { withClaim } from "../../src/queue/bullmq.ts";

const [databaseUrl = "", redisUrl = ""] = process.argv.slice(2);
const connection = { url: redisUrl, maxRetriesPerRequest: null };
const database = new pg.Pool({ connectionString: databaseUrl, max: 5 });
const exclaim = createExclaim({ database, ttlMs: 1_000 });
const vouchers = exclaim.pool<{ id: string; code: string }>({ table: "voucher_item", ownerColumn: "user_id" });

const worker = new Worker(
  "voucher",
  withClaim(
    async (job: Job<{ user_id: string }>, claim) => {
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { user: job.data.user_id, code: claim.row.code });
      });
    },
    {
      pool: vouchers,
      claimant: (job) => job.data.user_id,
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
    },
  ),
  { connection, concurrency: 25, lockDuration: 1_000, stalledInterval: 500, maxStalledCount: 100, drainDelay: 1 },
);
worker.on("error", () => {});
dispatchOutbox({ database, to: new Queue("mails", { connection }) });

process.once("disconnect", () => process.exit());
await worker.waitUntilReady();
process.send?.("ready");
await once(process, "message");
