import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Queue } from "bullmq";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createExclaim } from "../../src/index.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { startRedisNode } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { TABLES_SQL, VIOLATIONS } from "./audit.sql.ts";
import type { PodOptions } from "./pod.ts";

const PODS = 8;
const KILLS = 10;
const USERS = 3_750;
const MESSAGES = 5_000;
const VOUCHERS = 3_600;
const QUEUE = "voucher";

let database: FreshDatabase;
let redis: ServerProcess;

beforeAll(async () => {
  [database, redis] = await Promise.all([freshDatabase(), startRedisNode()]);
});

afterAll(async () => {
  await Promise.all([database.drop(), redis.stop()]);
});

/*
 * Planted once each, and what then failed here:
 * - S2 the claim's key extended by the message's id: users with two vouchers;
 * - S3 tokens that start at 1 again after a release: tokens that do not grow;
 * - S5 claim.complete() that commits the handler's writes and not the completion: redemptions without a completed claim;
 * - S6 "empty" said on a SKIP LOCKED miss: vouchers left over and users without one.
 * S1 and S4 lie behind several lines of defence each, and are planted where one line is tested alone (test/ledger).
 */
describe("8 pods, 5,000 messages, a third of them twice, pods killed at random", () => {
  it("ends with every user served once or told that the pool is empty, and S1 to S6 held throughout", async () => {
    await createExclaim({ database: database.pool }).migrate();
    await database.pool.query(TABLES_SQL);
    await database.pool.query("insert into voucher_item (id, code) select i, 'CODE-' || i from generate_series(1, $1::int) i", [
      VOUCHERS,
    ]);
    const queue = new Queue(QUEUE, { connection: { host: redis.host, port: redis.port } });
    const pods = new Pods({ databaseUrl: database.url, redisUrl: redis.url, queue: QUEUE });

    await pods.start(PODS);
    const users = Array.from({ length: MESSAGES }, (_, index) => (index % USERS) + 1);
    const options = { attempts: 20, backoff: { type: "fixed", delay: 50 } };
    await queue.addBulk(
      users.map((user_id, index) => ({ name: "sign-up", data: { user_id }, opts: { ...options, jobId: `m-${index}` } })),
    );
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await ended(queue, (MESSAGES * kill) / (KILLS + 2));
      await Promise.all([pods.killOne(kill), lockFreeRows()]);
    }
    await ended(queue, MESSAGES);
    await pods.stop();

    const { waiting, active, delayed, completed, failed } = await queue.getJobCounts();
    const refused = await queue.getFailed(0, MESSAGES);
    const told = new Set(refused.map((job) => job.data.user_id as number));
    await queue.close();
    const counts = await Promise.all(
      Object.entries(VIOLATIONS).map(
        async ([name, sql]) => [name, Number((await database.pool.query(sql)).rows[0].count)] as const,
      ),
    );
    const { rows } = await database.pool.query(`select
      (select count(*)::int from voucher_item where user_id is null) as free,
      (select count(*)::int from exclaim.claims where status = 'completed') as served,
      (select count(*)::int from exclaim.claims where status in ('held', 'failed')) as unfinished,
      (select count(*)::int from token_log where became = 'held' and was is not null) as resumed`);

    const redeemed = await database.pool.query("select user_id::int as user from redemption");
    const served = new Set(redeemed.rows.map((row) => row.user as number));
    const unserved = Array.from({ length: USERS }, (_, index) => index + 1).filter((user) => !served.has(user));

    expect(counts.filter(([, count]) => count > 0)).toEqual([]);
    expect({ waiting, active, delayed, ended: (completed ?? 0) + (failed ?? 0) }).toEqual({
      waiting: 0,
      active: 0,
      delayed: 0,
      ended: MESSAGES,
    });
    // S6: nobody was told "empty" while a voucher was free, so every voucher is gone and exactly the rest went without.
    expect(refused.map((job) => job.failedReason).filter((reason) => !reason.includes("no vouchers left"))).toEqual([]);
    expect(rows[0]).toMatchObject({ free: 0, served: VOUCHERS, unfinished: 0 });
    expect(unserved).toHaveLength(USERS - VOUCHERS);
    expect(unserved.filter((user) => !told.has(user))).toEqual([]);
    // The faults must have bitten, or the test has shown nothing.
    expect(rows[0].resumed).toBeGreaterThan(50);
  });
});

/** Somebody's transaction holds every free row for a moment and changes its mind: not one claimant may be told "empty" for that. */
async function lockFreeRows(): Promise<void> {
  const client = await database.pool.connect();
  try {
    await client.query("begin");
    await client.query("select id from voucher_item where user_id is null for update");
    await client.query("select pg_sleep(0.3)");
    await client.query("rollback");
  } finally {
    client.release();
  }
}

/** Processes that are killed and replaced. */
class Pods {
  readonly #options: Omit<PodOptions, "seed">;
  #running: ChildProcess[] = [];
  #seed = 0;

  constructor(options: Omit<PodOptions, "seed">) {
    this.#options = options;
  }

  async start(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#startOne()));
  }

  /** Kills one without warning, and starts another in its place. */
  async killOne(pick: number): Promise<void> {
    const [victim] = this.#running.splice(pick % this.#running.length, 1);
    victim?.kill("SIGKILL");
    if (victim !== undefined && victim.exitCode === null && victim.signalCode === null) await once(victim, "exit");
    await this.#startOne();
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#running.map(async (pod) => {
        pod.kill("SIGTERM");
        if (pod.exitCode === null) await once(pod, "exit");
      }),
    );
    expect(this.#running.map((pod) => pod.exitCode)).toEqual(this.#running.map(() => 0));
  }

  async #startOne(): Promise<void> {
    this.#seed += 1;
    const argument = JSON.stringify({ ...this.#options, seed: this.#seed });
    const file = new URL("./pod.ts", import.meta.url).pathname;
    const pod = spawn(process.execPath, ["--import", "tsx", file, argument], { stdio: ["ignore", "pipe", "inherit"] });
    this.#running.push(pod);
    await once(pod.stdout, "data");
  }
}

/** Waits until at least so many jobs have ended. */
async function ended(queue: Queue, count: number): Promise<void> {
  await eventually(
    async () => {
      const { completed, failed } = await queue.getJobCounts("completed", "failed");
      return (completed ?? 0) + (failed ?? 0) >= count;
    },
    { timeoutMs: 120_000, what: `the end of ${count} jobs` },
  );
}
