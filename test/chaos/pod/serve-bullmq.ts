import { setTimeout as delay } from "node:timers/promises";
import { type Job, Worker } from "bullmq";
import { type ClaimProcessor, withClaim } from "../../../src/queue/bullmq.ts";
import type { ChaosMessage } from "../pod-messages.ts";
import { type CurrentDelivery, duringDelivery } from "./current-delivery.ts";
import { CONCURRENCY, CONTENDED, EMPTY, LOST, type Service, type Serving } from "./service.ts";

type ChaosJob = Job<ChaosMessage>;
type Disposition = "complete" | "retry" | "fail" | "dead-letter";

/** Jobs whose processor runs. */
interface AtWork {
  jobs: number;
}

/** How long a worker may take to close that has nothing in hand. */
const CLOSE_LIMIT_MS = 5_000;
const LOCK_DURATION_MS = 2_000;
const STALLED_INTERVAL_MS = 1_000;

/** Serves both queues with a BullMQ worker each. */
export async function serveBullmq(url: string, service: Service): Promise<Serving> {
  const { queues, lockBy, onFailure } = service.assignment;
  const row = withClaim<ChaosJob, unknown, object>((job, claim) => service.handleRow(job.data, claim), {
    pool: service.pool,
    claimant: (job) => job.data.claimant,
    onContended: CONTENDED,
    onLost: LOST,
    onEmpty: EMPTY,
    onGiveUp: "release",
    onFailure,
    lockBy,
  });
  const key = withClaim<ChaosJob>((job, claim) => service.handleKey(job.data, claim), {
    resource: service.resource,
    key: (job) => job.data.claimant,
    onContended: CONTENDED,
    onLost: LOST,
  });
  const atWork: AtWork = { jobs: 0 };
  const ports = { url, service, atWork };
  const workers = [openWorker(queues.pool, row, ports), openWorker(queues.resource, key, ports)];
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  return {
    close: () => closed(workers, atWork),
  };
}

/** A worker whose connection breaks while it closes may never have closed: a program ends then, once no job is in hand. */
async function closed(workers: readonly Worker[], atWork: AtWork): Promise<"closed" | "hung"> {
  const closing = Promise.all(workers.map((worker) => worker.close())).then(() => "closed" as const);
  for (;;) {
    const isOver = await Promise.race([closing, delay(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    if (isOver === "closed") return isOver;
    if (atWork.jobs === 0) return "hung";
  }
}

function openWorker(
  queue: string,
  processor: ClaimProcessor<ChaosJob, unknown>,
  { url, service, atWork }: { readonly url: string; readonly service: Service; readonly atWork: AtWork },
): Worker<ChaosMessage> {
  const { hostname, port } = new URL(url);
  const worker: Worker<ChaosMessage> = new Worker<ChaosMessage>(
    queue,
    // With three parameters, by which BullMQ decides whether it gives a signal.
    (job: ChaosJob, token?: string, signal?: AbortSignal) => {
      const delivery = service.deliver(job.data.message);
      const struck = service.failpoints.pass("F0 delivered");
      if (struck?.does === "throw") {
        struck.hit();
        return Promise.reject(new Error("planted at F0 delivered"));
      }
      watchSettlement(job, delivery, service);
      atWork.jobs += 1;
      const working = duringDelivery(delivery, () => processor.call(worker, job, token, signal));
      return working.finally(() => {
        atWork.jobs -= 1;
      });
    },
    {
      connection: { host: hostname, port: Number(port), maxRetriesPerRequest: null, retryStrategy: () => 50 },
      concurrency: CONCURRENCY,
      lockDuration: LOCK_DURATION_MS,
      stalledInterval: STALLED_INTERVAL_MS,
      maxStalledCount: 1_000_000,
      drainDelay: 1,
      name: service.log.by,
    },
  );
  processor.watch(worker);
  worker.on("error", () => {});
  return worker;
}

/** Writes down what the broker is told of a job, and meets the failpoints on both sides of it. */
function watchSettlement(job: ChaosJob, delivery: CurrentDelivery, service: Service): void {
  const settle = async <T>(disposition: Disposition, tell: () => Promise<T>): Promise<T> => {
    const call = { what: "settle", delivery: delivery.id, message: delivery.message, disposition } as const;
    service.log.write({ ...call, phase: "invoke" });
    const struck = service.failpoints.pass("F14 settlement sent");
    if (struck?.does === "throw") {
      struck.hit();
      service.log.write({ ...call, phase: "fail" });
      throw new Error("Connection is closed.");
    }
    // Only while it waits is the answer lost to it: it is sent again, or fails. Redis is told of no job by its id alone but of this one.
    const takeBack =
      struck?.does === "lose the broker's answer" ? service.loseBrokerAnswer(`\r\n${job.id}\r\n`, struck.hit) : (): void => {};
    try {
      const answer = await tell();
      service.log.write({ ...call, phase: "ok" });
      service.failpoints.pass("F15 settlement confirmed");
      return answer;
    } catch (error) {
      service.log.write({ ...call, phase: "info" });
      throw error;
    } finally {
      takeBack();
    }
  };
  const { moveToCompleted, moveToDelayed, moveToFailed } = job;
  job.moveToCompleted = (...given) => settle("complete", () => moveToCompleted.apply(job, given));
  job.moveToDelayed = (...given) => settle("retry", () => moveToDelayed.apply(job, given));
  job.moveToFailed = (...given) => settle(dispositionOf(job, given[0]), () => moveToFailed.apply(job, given));
}

/** As BullMQ decides: it makes another attempt unless there is none left or the error forbids it. */
function dispositionOf(job: ChaosJob, error: Error): Disposition {
  const isLast = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
  return isLast || error.name === "UnrecoverableError" ? "dead-letter" : "fail";
}
