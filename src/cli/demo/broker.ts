import type { WorkerOptions } from "bullmq";
import { ExclaimError } from "../../errors.ts";
import { withClient } from "./database.ts";
import { importPackage } from "./import-package.ts";

/** Where the messages are kept. Plain data, so that a pod can be told. */
export type BrokerSettings =
  | { readonly kind: "postgres"; readonly url: string; readonly schema: string }
  | { readonly kind: "redis"; readonly url: string; readonly prefix: string };

/** What the demo sends: one message a user. */
export interface VoucherMessage {
  readonly user_id: number;
}

/** What is used of a BullMQ `Job` by handlers that know nothing of exclaim. */
export interface VoucherJob {
  readonly id?: string | undefined;
  readonly data: VoucherMessage;
}

export interface JobToAdd {
  readonly name: string;
  readonly data: VoucherMessage;
  readonly opts: { readonly jobId: string };
}

/** What is used of a BullMQ `Queue`. */
export interface DemoQueue {
  addBulk(jobs: JobToAdd[]): Promise<readonly { readonly id?: string | undefined }[]>;
  getJobCounts(...states: ("completed" | "failed")[]): Promise<Record<string, number>>;
  getRanges(states: ("completed" | "failed")[], start: number, end: number): Promise<string[]>;
  obliterate(options: { force: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** What is used of a BullMQ `Worker`. */
export interface DemoWorker {
  on(event: "error", listener: (error: Error) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
}

/** A function that BullMQ calls with its job, of whichever part of it the function states to use. */
export type Processor = (job: never, token?: string, signal?: AbortSignal) => Promise<unknown>;

/** BullMQ's default of 10 connections a client would not fit four pods into a server's default of 100. */
const CONNECTIONS = 5;

/** Every variant's jobs alike: three attempts, soon after one another. */
const JOB_OPTIONS = { attempts: 3, backoff: { type: "fixed", delay: 100 } } as const;

/** A pod that was killed is noticed after two seconds instead of thirty, so that the demo need not wait. */
const WORKER_OPTIONS = { lockDuration: 2_000, stalledInterval: 1_000, maxStalledCount: 100, drainDelay: 1 } as const;

/**
 * Makes BullMQ's tables where it runs on PostgreSQL; asks Redis for a sign of life where it runs on Redis.
 * Throws CONFIG_INVALID: Redis does not answer.
 */
export async function prepareBroker(settings: BrokerSettings): Promise<void> {
  if (settings.kind === "redis") return assertRedis(settings.url);
  const { runMigrations } = await importBullmq();
  await withClient(settings.url, (client) => runMigrations(client, settings.schema));
}

/** The producer's side. The caller closes it. */
export async function openQueue(settings: BrokerSettings, name: string): Promise<DemoQueue> {
  const bullmq = await importBullmq();
  if (settings.kind === "redis") {
    const { url, prefix } = settings;
    const queue = new bullmq.Queue<VoucherMessage>(name, { connection: { url }, prefix, defaultJobOptions: JOB_OPTIONS });
    queue.on("error", () => {});
    return queue;
  }
  const { Queue } = bullmq.withBackend(bullmq.createPostgresBackend);
  const queue = new Queue<VoucherMessage>(name, { connection: connectionOf(settings), defaultJobOptions: JOB_OPTIONS });
  queue.on("error", () => {});
  return queue;
}

/**
 * The consumer's side. The caller closes it.
 * Shape: the processor is handed to BullMQ as it is, since BullMQ counts its parameters.
 */
export async function openWorker(
  settings: BrokerSettings,
  name: string,
  processor: Processor,
  concurrency: number,
): Promise<DemoWorker> {
  const bullmq = await importBullmq();
  // What a handler states to use of a job, a job has.
  const process = processor as (job: VoucherJob, token?: string, signal?: AbortSignal) => Promise<unknown>;
  const options: Omit<WorkerOptions, "connection"> = { ...WORKER_OPTIONS, concurrency };
  if (settings.kind === "redis") {
    const { url, prefix } = settings;
    return new bullmq.Worker(name, process, { ...options, connection: { url, maxRetriesPerRequest: null }, prefix });
  }
  const { Worker } = bullmq.withBackend(bullmq.createPostgresBackend);
  return new Worker(name, process, { ...options, connection: connectionOf(settings) });
}

function connectionOf(settings: Extract<BrokerSettings, { kind: "postgres" }>) {
  return { connectionString: settings.url, schema: settings.schema, max: CONNECTIONS };
}

function importBullmq() {
  return importPackage("bullmq", () => import("bullmq"));
}

async function assertRedis(url: string): Promise<void> {
  const { Redis } = await importPackage("ioredis", () => import("ioredis"));
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 5_000 });
  // The promise only tells that the connection is closed; the event tells why.
  let cause: unknown;
  redis.on("error", (error) => {
    cause ??= error;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    cause ??= error;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExclaimError("CONFIG_INVALID", `the server of REDIS_URL does not answer: ${why}`, { cause });
  } finally {
    redis.disconnect();
  }
}
