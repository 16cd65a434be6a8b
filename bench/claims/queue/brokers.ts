import { bullmqCluster } from "../brokers/bullmq-cluster.ts";
import { bullmqPostgres } from "../brokers/bullmq-postgres.ts";
import { rabbitmq, rabbitmqQuorum } from "../brokers/rabbitmq.ts";
import type { Broker } from "./broker.ts";
import { bullmq } from "./bullmq.ts";

/** All of them, by the name that a pod is told. */
export const BROKERS = { bullmq, bullmqCluster, bullmqPostgres, rabbitmq, rabbitmqQuorum } satisfies Record<string, Broker>;

export type BrokerName = keyof typeof BROKERS;
