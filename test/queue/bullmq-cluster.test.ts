import { randomUUID } from "node:crypto";
import { type Job, Queue, Worker } from "bullmq";
import { Cluster } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { fanOut } from "../../src/fanout/fan-out.ts";
import { redis } from "../../src/lock/redis.ts";
import { dispatchOutbox } from "../../src/outbox/dispatch-outbox.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import type { Voucher } from "./scripted-pool.ts";

interface SignUp {
  readonly user_id: number;
}

const JOBS = 200;
const PATIENT = { callTimeoutMs: 5_000 };
const claimant = (job: Job<SignUp>) => String(job.data.user_id);
/** The braces keep all keys of a queue in one slot, as BullMQ's scripts need them. */
const prefix = "{vouchers}";

let servers: RedisCluster;
let connection: Cluster;
let locks: Cluster;

beforeAll(async () => {
  servers = await startRedisCluster();
  connection = new Cluster([...servers.urls], { redisOptions: { maxRetriesPerRequest: null } });
  locks = new Cluster([...servers.urls]);
});

afterAll(async () => {
  connection.disconnect();
  locks.disconnect();
  await servers.stop();
});

describe("BullMQ on a Redis Cluster of three masters", () => {
  let database: FreshDatabase;
  let exclaim: Exclaim;
  let pool: Pool<Voucher>;
  let queue: Queue<SignUp>;
  const closings: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    database = await freshDatabase();
    await database.pool.query("create table voucher_item (id int primary key, code text not null, user_id text)");
    await database.pool.query("insert into voucher_item select i, 'V' || i from generate_series(1, 300) i");
    exclaim = createExclaim({ database: database.pool, lock: redis(locks, PATIENT) });
    await exclaim.migrate();
    pool = exclaim.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id" });
    queue = new Queue<SignUp>(`q-${randomUUID()}`, { connection, prefix });
  });

  afterEach(async () => {
    await Promise.all(closings.splice(0).map((close) => close()));
    await queue.close();
    await exclaim.close();
    await database.drop();
  });

  function work(processor: (job: Job<SignUp>) => Promise<unknown>): Worker<SignUp> {
    const worker = new Worker<SignUp>(queue.name, processor, { connection, prefix, concurrency: 20 });
    worker.on("error", () => {});
    closings.push(() => worker.close(true));
    return worker;
  }

  async function ended(state: "completed" | "failed", count: number): Promise<void> {
    const isThere = async () => expect((await queue.getJobCounts(state))[state]).toBe(count);
    await eventually(isThere, { timeoutMs: 15_000, what: `${count} ${state} jobs` });
  }

  it("gives every claimant one row, under a lock of the same cluster, whatever the number of its jobs", async () => {
    const users = Array.from({ length: JOBS }, (_, index) => index);
    const jobs = [...users, ...users.slice(0, 50)].map((user_id) => ({ name: "sign-up", data: { user_id } }));
    for (const _pod of [1, 2]) {
      work(
        withClaim(async (_job: Job<SignUp>, claim) => claim.row.code, {
          pool,
          claimant,
          onContended: { do: "retry", delayMs: 20 },
        }),
      );
    }

    await queue.addBulk(jobs);
    await ended("completed", 250);

    const { rows } = await database.pool.query(
      "select count(*)::int as taken, count(distinct user_id)::int as claimants from voucher_item where user_id is not null",
    );
    expect(rows).toEqual([{ taken: 200, claimants: 200 }]);
  });

  it("delivers a job again that was put off", async () => {
    let isFree = false;
    const held = pool.claim({ claimant: "7" }, async () => eventually(() => isFree, { what: "the end" }));
    work(
      withClaim(async (_job: Job<SignUp>) => "done", {
        pool,
        claimant,
        onContended: { do: "retry", delayMs: 50 },
        onReplay: "rerun",
      }),
    );
    const { id } = await queue.add("sign-up", { user_id: 7 });
    await eventually(async () => expect((await queue.getJob(id ?? ""))?.attemptsStarted).toBeGreaterThan(1));

    isFree = true;
    await held;
    await ended("completed", 1);

    expect(await queue.getJob(id ?? "")).toMatchObject({ returnvalue: "done", attemptsMade: 1 });
  });

  it("goes on while a master hangs that has some of the locks, and puts off the jobs of these until it is back", async () => {
    const slot = await connection.cluster("KEYSLOT", prefix);
    const queuesMaster = Math.floor((slot * 3) / 16_384);
    const other = servers.nodes[(queuesMaster + 1) % 3];
    const impatient = createExclaim({ database: database.pool, lock: redis(locks, { callTimeoutMs: 300 }) });
    closings.push(() => impatient.close());
    const pool = impatient.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id" });
    const worker = work(withClaim(async (_job: Job<SignUp>) => {}, { pool, claimant }));
    await worker.waitUntilReady();

    other?.hang();
    onTestFinished(() => other?.resume());
    await queue.addBulk(Array.from({ length: 30 }, (_, user_id) => ({ name: "sign-up", data: { user_id } })));
    await eventually(async () => {
      const { completed = 0, delayed = 0 } = await queue.getJobCounts("completed", "delayed");
      expect([completed > 5, delayed > 0, completed + delayed]).toEqual([true, true, 30]);
    });
    other?.resume();

    await ended("completed", 30);
  });

  it("takes the rows of an import and the messages of the outbox", async () => {
    const rows = Array.from({ length: 450 }, (_, user_id) => ({ user_id }));
    const imported = await fanOut(rows, {
      database: database.pool,
      to: queue,
      key: (row) => String(row.user_id),
      id: "sign-ups",
    });
    await pool.claim({ claimant: "7" }, (claim) => claim.complete((tx) => tx.publish("assigned", { user_id: 7 })));
    const dispatcher = dispatchOutbox({ database: database.pool, to: queue });
    closings.push(() => dispatcher.close());
    await dispatcher.drain();
    const { waiting } = await queue.getJobCounts("waiting");

    expect(imported).toMatchObject({ status: "published", published: 450 });
    expect(waiting).toBe(451);
  });
});
