import { type Job, Queue } from "bullmq";
import type { FinalMessage } from "../checker/history.ts";
import type { BrokerOptions, ChaosBroker } from "./chaos-broker.ts";
import type { ChaosMessage } from "./pod-messages.ts";

const BACKOFF = { type: "fixed", delay: 40 };

/** BullMQ: a job is in exactly one of its sets, and stays in the last of them. */
export async function openBullmq({ url, queues }: BrokerOptions): Promise<ChaosBroker> {
  const { hostname, port } = new URL(url);
  const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null, retryStrategy: () => 50 };
  const open = (name: string): Queue<ChaosMessage> => {
    const queue = new Queue<ChaosMessage>(name, { connection });
    queue.on("error", () => {});
    return queue;
  };
  const opened = { pool: open(queues.pool), resource: open(queues.resource) };
  const both = [opened.pool, opened.resource];
  const sent = new Set<string>();
  return {
    async send(messages) {
      for (const { queue, attempts, ...data } of messages) {
        await opened[queue].add("chaos", data, { jobId: data.message, attempts, backoff: BACKOFF });
        sent.add(data.message);
      }
    },
    async open() {
      const counts = await Promise.all(both.map((queue) => queue.getJobCounts("completed", "failed")));
      return sent.size - counts.reduce((sum, { completed = 0, failed = 0 }) => sum + completed + failed, 0);
    },
    async hurry() {
      await Promise.all(both.map((queue) => queue.promoteJobs()));
    },
    finalStates: async () => new Map((await Promise.all(both.map(statesOf))).flat()),
    async close() {
      for (const queue of both) {
        await queue.obliterate({ force: true }).catch(() => {});
        await queue.close();
      }
    },
  };
}

async function statesOf(queue: Queue<ChaosMessage>): Promise<[string, FinalMessage["state"]][]> {
  const jobs = async (
    state: FinalMessage["state"],
    sets: readonly ("completed" | "failed" | "wait" | "active" | "delayed")[],
  ) =>
    ((await queue.getJobs([...sets])) as Job<ChaosMessage>[]).map((job): [string, FinalMessage["state"]] => [
      job.data.message,
      state,
    ]);
  return [
    ...(await jobs("completed", ["completed"])),
    ...(await jobs("dead-letter", ["failed"])),
    ...(await jobs("waiting", ["wait", "active", "delayed"])),
  ];
}
