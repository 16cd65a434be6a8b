/**
 * One pod: a process with a BullMQ worker whose handler is wrapped in withClaim, on Redis, with Redlock as the outer lock.
 * Input: one argument, JSON of `PodOptions`. It works until it is killed, or told to stop by SIGTERM.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Job, Worker } from "bullmq";
import { Redis } from "ioredis";
import pg from "pg";
import { createExclaim } from "../../src/index.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { withClaim } from "../../src/queue/bullmq.ts";

export interface PodOptions {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly queue: string;
  readonly seed: number;
}

interface SignUp {
  readonly user_id: number;
}

interface Voucher {
  readonly id: string;
  readonly code: string;
}

export const TTL_MS = 2_000;

const options = JSON.parse(process.argv[2] ?? "{}") as PodOptions;
const address = new URL(options.redisUrl);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };
const database = new pg.Pool({ connectionString: options.databaseUrl, max: 8 });
const redis = new Redis(options.redisUrl, { maxRetriesPerRequest: 1 });
const exclaim = createExclaim({ database, lock: redlock([redis]), ttlMs: TTL_MS });
const vouchers = exclaim.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id", where: { revoked: false } });
const chance = seeded(options.seed);

const worker = new Worker<SignUp>(
  options.queue,
  withClaim(
    async (job: Job<SignUp>, claim) => {
      await delay(chance() * 20);
      const roll = chance();
      // Some runs fail, some give their row back, and some say both: the row is then claimed again under a higher token.
      if (roll < 0.05) throw new Error("the mail server is down");
      if (roll < 0.08) {
        await claim.release();
        throw new Error("not this one");
      }
      await claim.complete(async (tx) => {
        await tx.query("insert into redemption (user_id, voucher_id, token) values ($1, $2, $3)", [
          job.data.user_id,
          claim.row.id,
          String(claim.token),
        ]);
        return { code: claim.row.code };
      });
    },
    {
      pool: vouchers,
      claimant: (job) => String(job.data.user_id),
      onContended: { do: "retry", delayMs: 100 },
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
    },
  ),
  {
    connection,
    concurrency: 10,
    lockDuration: 3_000,
    stalledInterval: 1_000,
    maxStalledCount: 1_000,
    name: String(process.pid),
  },
);
worker.on("error", () => {});

process.once("SIGTERM", async () => {
  const closing = worker.close();
  await exclaim.close({ drainMs: 5_000 });
  await closing;
  redis.disconnect();
  await database.end();
});

process.stdout.write("ready\n");

/** Numbers in [0, 1) that a seed decides (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
