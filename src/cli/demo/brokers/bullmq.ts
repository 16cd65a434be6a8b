import type { WorkerOptions } from "bullmq";
import type pg from "pg";
import { ExclaimError } from "../../../errors.ts";
import { type BullmqJob, withClaim } from "../../../queue/bullmq.ts";
import { importPackage } from "../../import-package.ts";
import type {
  Broker,
  BrokerSettings,
  ClaimingHandler,
  Consumer,
  Consuming,
  DemoQueue,
  DemoTarget,
  Handler,
  SignUp,
  VoucherMessage,
} from "../broker.ts";
import { withClient } from "../database.ts";

export type BullmqSettings = Exclude<BrokerSettings, { kind: "rabbitmq" }>;

/** What is used of a BullMQ `Job` by handlers that know nothing of exclaim. */
interface VoucherJob<D = SignUp> {
  readonly id?: string | undefined;
  readonly data: D;
}

interface JobToAdd {
  readonly name: string;
  readonly data: SignUp;
  readonly opts: { readonly jobId: string };
}

/** What is used of a BullMQ `Queue`. */
interface BullmqQueue {
  readonly name: string;
  addBulk(jobs: JobToAdd[]): Promise<readonly { readonly id?: string | undefined }[]>;
  getJobCounts(...states: ("completed" | "failed")[]): Promise<Record<string, number>>;
  getRanges(states: ("completed" | "failed")[], start: number, end: number): Promise<string[]>;
  obliterate(options: { force: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** A function that BullMQ calls with its job, of whichever part of it the function states to use. */
type Processor = (job: never, token?: string, signal?: AbortSignal) => Promise<unknown>;

/** BullMQ's default of 10 connections a client would not fit four pods into a server's default of 100. */
const CONNECTIONS = 5;

/** Every variant's jobs alike: three attempts, soon after one another. */
const JOB_OPTIONS = { attempts: 3, backoff: { type: "fixed", delay: 100 } } as const;

/** A pod that was killed is noticed after two seconds instead of thirty, so that the demo need not wait. */
const WORKER_OPTIONS = { lockDuration: 2_000, stalledInterval: 1_000, maxStalledCount: 100, drainDelay: 1 } as const;

/** BullMQ, on Redis or on PostgreSQL. */
export function bullmqBroker(settings: BullmqSettings): Broker {
  return {
    prepare: () => prepare(settings),
    openQueue: (name, database) => openQueue(settings, name, database),
    consume: <D>(consuming: Consuming, handler: Handler<D>) =>
      consume(settings, consuming, (job: VoucherJob<D>) => handler(messageOf(job))),
    consumeWithClaim: (consuming, claiming) => consume(settings, consuming, claimingProcessor(claiming)),
    openTarget: (name) => openTarget(settings, name),
  };
}

/** Makes BullMQ's tables where it runs on PostgreSQL. A Redis needs nothing, and was seen to answer. */
async function prepare(settings: BullmqSettings): Promise<string> {
  if (settings.kind === "redis") return "BullMQ on Redis (REDIS_URL)";
  const { runMigrations } = await importBullmq();
  await withClient(settings.url, (client) => runMigrations(client, settings.schema));
  return "BullMQ on PostgreSQL";
}

async function openQueue(settings: BullmqSettings, name: string, database: pg.Pool): Promise<DemoQueue> {
  const queue = await connectQueue(settings, name);
  return {
    publish: (messages) => addMessages(queue, messages),
    async countSettled() {
      const { completed = 0, failed = 0 } = await queue.getJobCounts("completed", "failed");
      return completed + failed;
    },
    async recordSettled() {
      for (const state of ["completed", "failed"] as const) {
        const ids = await queue.getRanges([state], 0, -1);
        await database.query("update message set settled_as = $1 where message_id = any($2::text[])", [state, ids]);
      }
    },
    async remove() {
      // On PostgreSQL the jobs go with their schema.
      if (settings.kind === "redis") await queue.obliterate({ force: true });
      await queue.close();
    },
  };
}

async function openTarget(settings: BullmqSettings, name: string): Promise<DemoTarget> {
  const queue = await connectQueue(settings, name);
  return { to: queue, close: () => queue.close() };
}

async function connectQueue(settings: BullmqSettings, name: string): Promise<BullmqQueue> {
  const bullmq = await importBullmq();
  if (settings.kind === "redis") {
    const { url, prefix } = settings;
    const queue = new bullmq.Queue<SignUp>(name, { connection: { url }, prefix, defaultJobOptions: JOB_OPTIONS });
    queue.on("error", () => {});
    return queue;
  }
  const { Queue } = bullmq.withBackend(bullmq.createPostgresBackend);
  const queue = new Queue<SignUp>(name, { connection: connectionOf(settings), defaultJobOptions: JOB_OPTIONS });
  queue.on("error", () => {});
  return queue;
}

/**
 * Adds a job for each message.
 * Throws REFUSED: BullMQ may refuse a job of a bulk without throwing, and answers with another id than it was given.
 */
export async function addMessages(queue: Pick<BullmqQueue, "addBulk">, messages: readonly VoucherMessage[]): Promise<void> {
  const added = await queue.addBulk(messages.map(({ id, data }) => ({ name: "voucher", data, opts: { jobId: id } })));
  const missing = messages.filter(({ id }, index) => added[index]?.id !== id);
  if (missing.length === 0) return;
  throw new ExclaimError("REFUSED", `BullMQ did not accept ${missing.length} messages, first ${missing[0]?.id}`);
}

/** Shape: the processor is handed to BullMQ as it is, since BullMQ counts its parameters. */
async function consume(settings: BullmqSettings, consuming: Consuming, processor: Processor): Promise<Consumer> {
  const worker = await connectWorker(settings, consuming, processor);
  worker.on("error", consuming.onError);
  await worker.waitUntilReady();
  // A worker connects anew by itself.
  return { ended: new Promise(() => {}), close: () => worker.close() };
}

async function connectWorker(settings: BullmqSettings, { queue, concurrency }: Consuming, processor: Processor) {
  const bullmq = await importBullmq();
  // What a handler states to use of a job, a job has.
  const process = processor as (job: VoucherJob, token?: string, signal?: AbortSignal) => Promise<unknown>;
  const options: Omit<WorkerOptions, "connection"> = { ...WORKER_OPTIONS, concurrency };
  if (settings.kind === "redis") {
    const { url, prefix } = settings;
    return new bullmq.Worker(queue, process, { ...options, connection: { url, maxRetriesPerRequest: null }, prefix });
  }
  const { Worker } = bullmq.withBackend(bullmq.createPostgresBackend);
  return new Worker(queue, process, { ...options, connection: connectionOf(settings) });
}

function claimingProcessor({ handler, options }: ClaimingHandler): Processor {
  return withClaim((job: VoucherJob & BullmqJob, claim) => handler(messageOf(job), claim), options);
}

function messageOf<D>({ id = "", data }: VoucherJob<D>): { id: string; data: D } {
  return { id, data };
}

function connectionOf(settings: Extract<BullmqSettings, { kind: "postgres" }>) {
  return { connectionString: settings.url, schema: settings.schema, max: CONNECTIONS };
}

function importBullmq() {
  return importPackage("bullmq", () => import("bullmq"));
}
