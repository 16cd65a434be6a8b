import type { BenchGroup, BenchSizes } from "../bench-case.ts";
import type { HandlerName } from "./pod-calls.ts";
import { queueCase, rowsFor } from "./queue-case.ts";

const CONCURRENCY = 100;

/** How each case serves its jobs: how many nodes lock, and how many jobs take one to two seconds on two cores. */
const CASES: Readonly<Record<string, { readonly handler: HandlerName; readonly nodes: number; readonly jobs: number }>> = {
  noop: { handler: "noop", nodes: 0, jobs: 16_000 },
  "hand-written": { handler: "hand-written", nodes: 1, jobs: 2_000 },
  "with-claim-redlock-1": { handler: "with-claim-redlock", nodes: 1, jobs: 8_000 },
  "with-claim-redlock-3": { handler: "with-claim-redlock", nodes: 3, jobs: 6_000 },
  "with-claim-redlock-5": { handler: "with-claim-redlock", nodes: 5, jobs: 4_000 },
  "with-claim-ledger": { handler: "with-claim-ledger", nodes: 0, jobs: 10_000 },
};

const MOST_CLAIMS = Math.max(
  ...Object.values(CASES)
    .filter(({ handler }) => handler !== "noop")
    .map(({ jobs }) => jobs),
);
const SMOKE_JOBS = 100;

/** What a job costs that claims a row, beside one that does nothing and the same by hand. The first lock node is BullMQ's Redis. */
export const queueGroup: BenchGroup = {
  name: "queue",
  title: `BullMQ on Redis, one process, concurrency ${CONCURRENCY}: jobs a second`,
  cases: Object.keys(CASES),
  baselines: { toHandWritten: "hand-written", toNoop: "noop" },
  async begin(stage, sizes, names) {
    const plans = names.map((name) => ({ name, ...planOf(name) }));
    const database = await stage.openDurableSchema();
    const servers = await stage.startRedis(Math.max(1, ...plans.map(({ nodes }) => nodes)));
    const urls = servers.map(({ url }) => url);
    const rows = rowsFor(jobsOf(MOST_CLAIMS, sizes), sizes);
    return plans.map(({ name, handler, nodes, jobs }) =>
      queueCase({
        name,
        broker: "bullmq",
        brokerUrls: urls.slice(0, 1),
        handler,
        lockUrls: urls.slice(0, nodes),
        pods: 1,
        concurrency: CONCURRENCY,
        jobs: jobsOf(jobs, sizes),
        rows,
        database,
        stage,
      }),
    );
  },
};

function jobsOf(jobs: number, { smoke }: BenchSizes): number {
  return smoke ? SMOKE_JOBS : jobs;
}

function planOf(name: string) {
  const plan = CASES[name];
  if (plan === undefined) throw new Error(`there is no case ${name} in this group`);
  return plan;
}
