import { type Job, type JobsOptions, type JobType, type Processor, Queue, type QueueOptions, Worker } from "bullmq";
import { withClaim } from "exclaim/bullmq";
import type { Broker, Consumer, QueuePlace, Served, Supply, Voucherless, Work } from "./broker.ts";

/** Added by one call: what a script in Redis may hold up others for. */
const BULK = 1_000;
const UNSETTLED = ["waiting", "active", "delayed", "failed", "prioritized"] as const;

/** What is used of a `Queue`, whatever it runs on. */
interface BullmqQueue {
  on(event: "error", listener: (error: Error) => void): unknown;
  addBulk(jobs: { readonly name: string; readonly data: Voucherless; readonly opts: JobsOptions }[]): Promise<unknown>;
  getJobCounts(...states: JobType[]): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}

/** What is used of a `Worker`. */
interface BullmqWorker {
  on(event: "completed", listener: () => void): unknown;
  on(event: "failed", listener: (job: unknown, error: Error) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  run(): Promise<void>;
  close(): Promise<void>;
}

/** What tells one way of running BullMQ from another. */
export interface BullmqWay {
  openQueue(place: QueuePlace): Promise<BullmqQueue>;
  /** One that does not run by itself (`autorun: false`). */
  openWorker(place: QueuePlace & { readonly concurrency: number }, processor: Processor<Voucherless>): Promise<BullmqWorker>;
}

export function bullmqBroker(way: BullmqWay): Broker {
  return {
    supply: async (place) => supplyOf(await way.openQueue(place)),
    consume: (place, work, served) => consume(() => way.openWorker(place, processorOf(work)), served),
  };
}

/** BullMQ on one Redis, with its own connections as it makes them. */
export const bullmq: Broker = bullmqBroker({
  openQueue: async (place) => new Queue<Voucherless>(place.queue, queueOptions(place)),
  openWorker: async (place, processor) =>
    new Worker(place.queue, processor, { ...queueOptions(place), autorun: false, concurrency: place.concurrency }),
});

function queueOptions({ urls }: QueuePlace): QueueOptions {
  return { connection: { url: urls[0] ?? "", maxRetriesPerRequest: null } };
}

function supplyOf(queue: BullmqQueue): Supply {
  queue.on("error", () => {});
  return {
    async fill(firstUser, jobs) {
      for (let done = 0; done < jobs; done += BULK) {
        const users = Array.from({ length: Math.min(BULK, jobs - done) }, (_, index) => firstUser + done + index);
        const opts = { removeOnComplete: true, attempts: 3 };
        await queue.addBulk(users.map((user_id) => ({ name: "voucher", data: { user_id }, opts })));
      }
    },
    async left() {
      const counts = await queue.getJobCounts(...UNSETTLED);
      return Object.values(counts).reduce((sum, count) => sum + count, 0);
    },
    close: () => queue.close(),
  };
}

/** A worker of its own for each round, made ready before it: a paused one may be late to notice that it goes on. */
async function consume(openWorker: () => Promise<BullmqWorker>, served: Served): Promise<Consumer> {
  const ready = async (): Promise<BullmqWorker> => {
    const worker = await openWorker();
    worker.on("completed", () => served.onSettled());
    worker.on("failed", (_job, error) => served.onFault(error));
    worker.on("error", (error) => served.onFault(error));
    await worker.waitUntilReady();
    return worker;
  };
  let worker = await ready();
  return {
    async start() {
      worker.run().catch((error: Error) => served.onFault(error));
    },
    async stop() {
      await worker.close();
      worker = await ready();
    },
    close: () => worker.close(),
  };
}

function processorOf(work: Work): Processor<Voucherless> {
  if (work.kind === "plain") return (job) => work.serve(job.data);
  return withClaim(async (_job: Job<Voucherless>, claim) => ({ code: claim.row.code }), {
    pool: work.pool,
    claimant: (job) => String(job.data.user_id),
  });
}
