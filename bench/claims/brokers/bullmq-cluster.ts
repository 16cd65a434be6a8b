import { Queue, Worker } from "bullmq";
import { Cluster } from "ioredis";
import type { Broker, Consumer, QueuePlace, Supply } from "../queue/broker.ts";
import { bullmqBroker } from "../queue/bullmq.ts";

/**
 * BullMQ on a Redis Cluster. The braces keep a queue's keys in one slot, as BullMQ needs them, so that a queue has one master, and more
 * masters are for more queues.
 */
export const bullmqCluster: Broker = {
  async supply(place): Promise<Supply> {
    const cluster = connect(place);
    const supply = await brokerOn(cluster).supply(place);
    return { ...supply, close: () => supply.close().finally(() => cluster.disconnect()) };
  },
  async consume(place, work, served): Promise<Consumer> {
    const cluster = connect(place);
    const consumer = await brokerOn(cluster).consume(place, work, served);
    return { ...consumer, close: () => consumer.close().finally(() => cluster.disconnect()) };
  },
};

function connect({ urls }: QueuePlace): Cluster {
  const cluster = new Cluster([...urls], { redisOptions: { maxRetriesPerRequest: null } });
  cluster.on("error", () => {});
  return cluster;
}

function brokerOn(connection: Cluster): Broker {
  return bullmqBroker({
    openQueue: async ({ queue }) => new Queue(queue, { connection, prefix: `{${queue}}` }),
    openWorker: async ({ queue, concurrency }, processor) =>
      new Worker(queue, processor, { connection, prefix: `{${queue}}`, autorun: false, concurrency }),
  });
}
