import { type Job, Queue } from "bullmq";
import { startRedisNode } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Account, Broker, SignUp } from "./broker.ts";

const JOB_OPTIONS = { attempts: 20, backoff: { type: "fixed", delay: 50 } };

/** BullMQ on a Redis of our own. Its counts are its own: a job is in exactly one of its sets. */
export async function startBullmq(queue: string): Promise<Broker> {
  const redis = await startRedisNode();
  return new BullmqBroker(redis, queue);
}

class BullmqBroker implements Broker {
  readonly #redis: ServerProcess;
  readonly #queue: Queue<SignUp>;

  constructor(redis: ServerProcess, queue: string) {
    this.#redis = redis;
    this.#queue = new Queue(queue, { connection: { host: redis.host, port: redis.port } });
  }

  get url(): string {
    return this.#redis.url;
  }

  async send(users: readonly number[]): Promise<void> {
    await this.#queue.addBulk(
      users.map((user_id, index) => ({
        name: "sign-up",
        data: { user_id },
        opts: { ...JOB_OPTIONS, jobId: `m-${index}` },
      })),
    );
  }

  async ended(): Promise<number> {
    const { completed = 0, failed = 0 } = await this.#queue.getJobCounts("completed", "failed");
    return completed + failed;
  }

  async account(): Promise<Account> {
    const { waiting = 0, active = 0, delayed = 0 } = await this.#queue.getJobCounts("waiting", "active", "delayed");
    const refused: Job<SignUp>[] = await this.#queue.getFailed();
    return {
      left: waiting + active + delayed,
      ended: await this.ended(),
      refused: refused.map((job) => ({ userId: job.data.user_id, reason: job.failedReason })),
    };
  }

  async stop(): Promise<void> {
    await this.#queue.close();
    await this.#redis.stop();
  }
}
