import { randomUUID } from "node:crypto";
import * as bullmq6 from "bullmq";
import * as bullmq5 from "bullmq-5";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, expect } from "vitest";
import { type BullmqJob, type BullmqWorker, withClaim } from "../../src/queue/bullmq.ts";
import type { Ended, QueueSetup, SignUp } from "../conformance/queue/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";
import type { Voucher } from "./scripted-pool.ts";

/** What the tests use of a job, a queue and a worker of either major, on either backend. */
export interface TestJob extends BullmqJob {
  readonly data: SignUp;
  readonly token?: string;
  readonly returnvalue: unknown;
  readonly failedReason: string;
  getState(): Promise<string>;
  moveToWait(token?: string): Promise<unknown>;
  moveToWaitingChildren(token: string): Promise<boolean>;
}

interface JobOptions {
  readonly jobId?: string;
  readonly attempts?: number;
  readonly backoff?: number | { readonly type: string };
  readonly parent?: { readonly id: string; readonly queue: string };
}

/** BullMQ's own control errors, as a user's handler throws them. */
interface ControlErrors {
  readonly DelayedError: new () => Error;
  readonly WaitingError: new () => Error;
  readonly WaitingChildrenError: new () => Error;
  readonly RateLimitError: new () => Error;
  readonly UnrecoverableError: new (message: string) => Error;
}

interface TestQueue {
  readonly qualifiedName: string;
  add(name: string, data: SignUp, options?: JobOptions): Promise<{ readonly id?: string | undefined }>;
  getJob(id: string): Promise<TestJob | undefined>;
  rateLimit(expireTimeMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface TestWorker extends BullmqWorker<TestJob> {
  on(event: "lockRenewalFailed", listener: (jobIds: string[]) => void): unknown;
  on(event: "failed", listener: (job: TestJob | undefined, error: Error) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  cancelJob(jobId: string, reason?: string): boolean;
  close(force?: boolean): Promise<void>;
}

type TestProcessor = (job: TestJob, token?: string, signal?: AbortSignal) => Promise<unknown>;

export interface WorkOptions {
  readonly concurrency?: number;
  readonly lockDuration?: number;
  readonly lockRenewTime?: number;
  readonly skipLockRenewal?: boolean;
  readonly stalledInterval?: number;
  readonly maxStalledCount?: number;
  readonly maxStartedAttempts?: number;
  readonly workerForkOptions?: { readonly execArgv: string[] };
  readonly settings?: { readonly backoffStrategy: () => number };
  readonly limiter?: { readonly max: number; readonly duration: number };
}

interface BullClasses {
  readonly Queue: new (name: string, options: { readonly connection: never }) => TestQueue;
  readonly Worker: new (
    name: string,
    processor: TestProcessor | string,
    options: WorkOptions & { readonly connection: never },
  ) => TestWorker;
}

/** One queue of its own, and the workers a test starts on it. */
export interface Bull {
  readonly queue: TestQueue;
  /** What the workers reported by their `error` events. */
  readonly errors: readonly Error[];
  add(data: SignUp, options?: JobOptions): Promise<string>;
  /** Adds a job to another queue, which nobody works on, as the child of this one. */
  addChild(parentId: string): Promise<void>;
  /** The job as the server has it, once it is in that state. */
  reaches(id: string, state: string): Promise<TestJob>;
  work(processor: TestProcessor | string, options?: WorkOptions): TestWorker;
  /** What the worker's process meets after a long stop: the server has given its job lock up. */
  loseLock(jobId: string): Promise<void>;
  close(): Promise<void>;
}

export interface BullmqSetup {
  readonly name: string;
  readonly errors: ControlErrors;
  /** A new queue; the first call starts what the setup needs. */
  open(): Promise<Bull>;
}

export const bullmqSetups: readonly BullmqSetup[] = [
  {
    name: "BullMQ 6 on Redis",
    errors: bullmq6,
    open: () => openOnRedis({ Queue: bullmq6.Queue<SignUp>, Worker: bullmq6.Worker<SignUp> }),
  },
  { name: "BullMQ 6 on PostgreSQL", errors: bullmq6, open: openOnPostgres },
  {
    name: "BullMQ 5 on Redis",
    errors: bullmq5,
    open: () => openOnRedis({ Queue: bullmq5.Queue<SignUp>, Worker: bullmq5.Worker<SignUp> }),
  },
];

/** A job lock is renewed so often, and its loss found so soon, that tests need not wait. */
const QUICK = { lockDuration: 10_000, lockRenewTime: 100, stalledInterval: 200, maxStalledCount: 10 };

/** The same for the tests that all brokers pass. */
export const bullmqQueues: readonly QueueSetup[] = bullmqSetups.map(({ name, open }) => ({
  name,
  storesResults: true,
  async open({ attempts = 1 }) {
    const bull = await open();
    const work = (processor: TestProcessor, concurrency: number) => {
      const worker = bull.work(processor, { ...QUICK, concurrency });
      return { close: () => worker.close() };
    };
    return {
      errors: bull.errors,
      loseDelivery: bull.loseLock,
      close: bull.close,
      send: (data, jobId) => bull.add(data, { attempts, ...(jobId === undefined ? {} : { jobId }) }),
      serve: async (handler, options, concurrency = 1) =>
        work(withClaim<TestJob, unknown, Voucher>(handler, options), concurrency),
      serveKeys: async (handler, options, concurrency = 1) => work(withClaim<TestJob>(handler, options), concurrency),
      ended: (id) => endOf(bull, id),
    };
  },
}));

async function endOf({ queue }: Bull, id: string): Promise<Ended> {
  const hasEnded = async () => ["completed", "failed"].includes((await (await queue.getJob(id))?.getState()) ?? "");
  await eventually(hasEnded, { timeoutMs: 15_000, what: `the end of job ${id}` });
  const job = await queue.getJob(id);
  if (job === undefined) throw new Error(`Job ${id} is gone.`);
  if ((await job.getState()) === "failed") return { status: "dead-lettered", reason: job.failedReason };
  return { status: "completed", result: job.returnvalue ?? undefined };
}

async function openOnRedis(classes: BullClasses): Promise<Bull> {
  const url = new URL(redisUrl());
  const name = `q-${randomUUID()}`;
  const connection = { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1)) || 0 };
  const client = new Redis(connection);
  return open(classes, name, connection, {
    loseLock: async (jobId) => {
      await client.del(`bull:${name}:${jobId}:lock`);
    },
    close: async () => {
      await client.quit();
    },
  });
}

/** One database with BullMQ's schema for all queues of a test file. */
let database: Promise<FreshDatabase> | undefined;

afterAll(async () => {
  await (await database)?.drop();
});

async function openOnPostgres(): Promise<Bull> {
  database ??= migrated();
  const { url: connectionString } = await database;
  const name = `q-${randomUUID()}`;
  const { Queue, Worker } = bullmq6.withBackend(bullmq6.createPostgresBackend);
  const classes = { Queue: Queue<SignUp>, Worker: Worker<SignUp> };
  const client = new pg.Client({ connectionString });
  await client.connect();
  return open(
    classes,
    name,
    { connectionString, max: 4 },
    {
      loseLock: async (jobId) => {
        const lost = "update bullmq.job set lock_token = 'nobody', locked_until_ms = 0 where queue = $1 and id = $2";
        await client.query(lost, [name, jobId]);
      },
      close: () => client.end(),
    },
  );
}

async function migrated(): Promise<FreshDatabase> {
  const fresh = await freshDatabase();
  const client = await fresh.pool.connect();
  await bullmq6.runMigrations(client);
  client.release();
  return fresh;
}

function open(
  { Queue, Worker }: BullClasses,
  name: string,
  connectionOptions: object,
  server: Pick<Bull, "loseLock" | "close">,
): Bull {
  const connection = connectionOptions as never;
  const queue = new Queue(name, { connection });
  const children = new Queue(`${name}-children`, { connection });
  const workers: TestWorker[] = [];
  const errors: Error[] = [];
  return {
    queue,
    errors,
    loseLock: server.loseLock,
    async add(data, options) {
      const { id } = await queue.add("sign-up", data, options);
      if (id === undefined) throw new Error("BullMQ gave the job no id");
      return id;
    },
    async addChild(parentId) {
      await children.add("child", {}, { parent: { id: parentId, queue: queue.qualifiedName } });
    },
    async reaches(id, state) {
      const found = async () => {
        expect(await (await queue.getJob(id))?.getState()).toBe(state);
        return (await queue.getJob(id)) as TestJob;
      };
      return eventually(found, { timeoutMs: 15_000, what: `job ${id} in state ${state}` });
    },
    work(processor, options = {}) {
      const worker = new Worker(name, processor, { connection, ...options });
      worker.on("error", (error) => errors.push(error));
      workers.push(worker);
      return worker;
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.close(true)));
      await queue.close();
      await children.close();
      await server.close();
    },
  };
}
