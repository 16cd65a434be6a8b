import { climbLadder } from "../../../test/support/ladder.ts";
import { startRabbitmqCluster } from "../../../test/support/rabbitmq.ts";
import { startRedisCluster } from "../../../test/support/redis-cluster.ts";
import { rabbitmq } from "../../../test/support/services/rabbitmq.ts";
import type { Stage } from "../../stage.ts";
import type { BenchGroup, BenchSizes } from "../bench-case.ts";
import type { BrokerName } from "../queue/brokers.ts";
import type { HandlerName } from "../queue/pod-calls.ts";
import { queueCase, rowsFor } from "../queue/queue-case.ts";

const CONCURRENCY = 100;
const SMOKE_JOBS = 100;
const SMOKE_PODS = 2;

type Suffix = "noop" | "hand-written" | "with-claim-redlock-1" | "with-claim-ledger";

const HANDLERS: Readonly<Record<Suffix, HandlerName>> = {
  noop: "noop",
  "hand-written": "hand-written",
  "with-claim-redlock-1": "with-claim-redlock",
  "with-claim-ledger": "with-claim-ledger",
};

/** One broker, whose cases are compared with each other alone. */
interface BrokerPlan {
  /** Of the group, and before the names of its cases. */
  readonly name: string;
  readonly title: string;
  readonly broker: BrokerName;
  readonly pods: number;
  /** How many take one to two seconds on two cores. */
  readonly jobs: Readonly<Record<Suffix, number>>;
  /** Starts it. `databaseUrl`: the server that has the rows. */
  start(stage: Stage, sizes: BenchSizes, databaseUrl: string): Promise<readonly string[]>;
}

const PLANS: readonly BrokerPlan[] = [
  {
    name: "pods-4",
    title: "BullMQ on Redis, four processes on one queue (two in a smoke run)",
    broker: "bullmq",
    pods: 4,
    jobs: { noop: 16_000, "hand-written": 2_000, "with-claim-redlock-1": 8_000, "with-claim-ledger": 10_000 },
    start: startRedis,
  },
  {
    name: "rabbitmq",
    title: "RabbitMQ, one node, durable classic queue",
    broker: "rabbitmq",
    pods: 1,
    jobs: { noop: 30_000, "hand-written": 2_000, "with-claim-redlock-1": 8_000, "with-claim-ledger": 10_000 },
    start: startRabbitmq,
  },
  {
    name: "quorum",
    title: "RabbitMQ, three nodes, quorum queue (one node in a smoke run)",
    broker: "rabbitmqQuorum",
    pods: 1,
    jobs: { noop: 10_000, "hand-written": 2_000, "with-claim-redlock-1": 5_000, "with-claim-ledger": 6_000 },
    start: (stage, sizes) => (sizes.smoke ? startRabbitmq(stage) : startQuorum(stage)),
  },
  {
    name: "bullmq-postgres",
    title: "BullMQ in the PostgreSQL that has the rows",
    broker: "bullmqPostgres",
    pods: 1,
    jobs: { noop: 2_000, "hand-written": 1_000, "with-claim-redlock-1": 1_000, "with-claim-ledger": 1_000 },
    start: async (_stage, _sizes, databaseUrl) => [databaseUrl],
  },
  {
    name: "cluster",
    title: "BullMQ on a Redis Cluster of three masters, one queue",
    broker: "bullmqCluster",
    pods: 1,
    jobs: { noop: 16_000, "hand-written": 2_000, "with-claim-redlock-1": 8_000, "with-claim-ledger": 10_000 },
    start: startCluster,
  },
];

/** The first group's cases where people outgrow one process or one machine: a group for each broker. */
export const brokerGroups: readonly BenchGroup[] = PLANS.map(groupOf);

function groupOf(plan: BrokerPlan): BenchGroup {
  const suffixes = Object.keys(HANDLERS) as readonly Suffix[];
  const mostClaims = Math.max(...suffixes.filter((suffix) => suffix !== "noop").map((suffix) => plan.jobs[suffix]));
  return {
    name: plan.name,
    title: `${plan.title}, concurrency ${CONCURRENCY} each: jobs a second`,
    cases: suffixes.map((suffix) => `${plan.name}-${suffix}`),
    baselines: { toHandWritten: `${plan.name}-hand-written`, toNoop: `${plan.name}-noop` },
    async begin(stage, sizes, names) {
      const jobsOf = (jobs: number): number => (sizes.smoke ? SMOKE_JOBS : jobs);
      const database = await stage.openDurableSchema();
      const brokerUrls = await plan.start(stage, sizes, database.url);
      // BullMQ's Redis is the lock's too, as it mostly is; otherwise the lock has one of its own.
      const lockUrls = plan.broker === "bullmq" ? brokerUrls : await startRedis(stage);
      return names.map((name) => {
        const suffix = name.slice(plan.name.length + 1) as Suffix;
        return queueCase({
          name,
          broker: plan.broker,
          brokerUrls,
          handler: HANDLERS[suffix],
          lockUrls,
          pods: sizes.smoke ? Math.min(plan.pods, SMOKE_PODS) : plan.pods,
          concurrency: CONCURRENCY,
          jobs: jobsOf(plan.jobs[suffix]),
          rows: rowsFor(jobsOf(mostClaims), sizes),
          database,
          stage,
        });
      });
    },
  };
}

async function startRedis(stage: Stage): Promise<readonly string[]> {
  return (await stage.startRedis(1)).map(({ url }) => url);
}

/** The one at AMQP_URL, or one that is started. */
async function startRabbitmq(stage: Stage): Promise<readonly string[]> {
  const { urls, stop } = await climbLadder(rabbitmq);
  stage.atEnd(stop);
  return urls;
}

async function startQuorum(stage: Stage): Promise<readonly string[]> {
  const nodes = await startRabbitmqCluster();
  stage.atEnd(() => Promise.all(nodes.map((node) => node.stop())));
  return nodes.map(({ url }) => url);
}

async function startCluster(stage: Stage): Promise<readonly string[]> {
  const { urls, stop } = await startRedisCluster();
  stage.atEnd(stop);
  return urls;
}
