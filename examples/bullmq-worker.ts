/**
 * An existing BullMQ worker, wrapped: each sign-up gets a voucher of its own.
 *
 *     DATABASE_URL=postgres://… REDIS_URL=redis://… npx tsx bullmq-worker.ts
 */
import { type Job, Queue, Worker } from "bullmq";
import { createExclaim } from "exclaim";
import { withClaim } from "exclaim/bullmq";
import { redlock } from "exclaim/lock/redlock";
import { Redis } from "ioredis";
import pg from "pg";

interface SignUp {
  readonly user_id: number;
}

interface Voucher {
  readonly id: string;
  readonly code: string;
}

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await database.query("create table if not exists voucher_item (id bigint primary key, code text, user_id bigint)");
await database.query("create index if not exists voucher_item_free on voucher_item (id) where user_id is null");
await database.query("insert into voucher_item select i, 'CODE-' || i from generate_series(1, 20) i on conflict do nothing");

// The lock gets a connection of its own: BullMQ's retry for ever, a lock must not.
const redisUrl = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
const exclaim = createExclaim({ database, lock: redlock([redis]) });
await exclaim.migrate();
const vouchers = exclaim.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id" });

const { hostname: host, port, username, password } = new URL(redisUrl);
const connection = { host, port: Number(port || 6379), ...(password === "" ? {} : { username, password }) };
const queue = new Queue<SignUp>("voucher", { connection });
const worker = new Worker<SignUp, { code: string } | undefined>(
  "voucher",
  withClaim(
    async (job: Job<SignUp>, claim) =>
      claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { userId: job.data.user_id, code: claim.row.code });
        return { code: claim.row.code };
      }),
    {
      pool: vouchers,
      claimant: (job) => String(job.data.user_id),
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
      onGiveUp: "release",
    },
  ),
  { connection, concurrency: 5 },
);

// User 1 signs up twice, as at-least-once delivery will have it: both messages are answered with the same voucher.
const results: string[] = [];
const users = [1, 2, 3, 1];
const allDone = new Promise<void>((resolve) => {
  worker.on("completed", (job, result) => {
    results.push(`user ${job.data.user_id} has ${result?.code}`);
    if (results.length === users.length) resolve();
  });
});
await queue.addBulk(users.map((user_id) => ({ name: "sign-up", data: { user_id } })));
await allDone;
console.log(results.sort().join("\n"));

const closing = worker.close();
await exclaim.close({ drainMs: 5_000 });
await closing;
await queue.close();
redis.disconnect();
await database.end();
