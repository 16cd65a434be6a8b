import { type Job, type JobType, Queue } from "bullmq";
import type { BrokerOptions, ChaosBroker, FinalState } from "./chaos-broker.ts";
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
    async finalStates() {
      const states = (await Promise.all(both.map(statesOf))).flat();
      const there = new Set(states.map(({ message }) => message));
      return [
        ...states,
        ...[...sent].filter((message) => !there.has(message)).map((message) => ({ message, state: "gone" as const })),
      ];
    },
    async close() {
      for (const queue of both) {
        await queue.obliterate({ force: true }).catch(() => {});
        await queue.close();
      }
    },
  };
}

/** In each of them a job that is there is once. */
const SETS: readonly (readonly [FinalState["state"], readonly JobType[]])[] = [
  ["completed", ["completed"]],
  ["dead-letter", ["failed"]],
  ["waiting", ["wait", "active", "delayed", "prioritized", "waiting-children"]],
];

async function statesOf(queue: Queue<ChaosMessage>): Promise<FinalState[]> {
  const states: FinalState[] = [];
  for (const [state, sets] of SETS) {
    const jobs = (await queue.getJobs([...sets])) as Job<ChaosMessage>[];
    const count = await queue.getJobCountByTypes(...sets);
    if (jobs.length !== count) throw new Error(`${jobs.length} of ${count} ${state} jobs of ${queue.name} were read`);
    states.push(...jobs.map(({ data }) => ({ message: data.message, state })));
  }
  return states;
}
