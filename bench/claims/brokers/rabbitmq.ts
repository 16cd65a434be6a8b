import { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from "amqplib";
import { declareTopology, withClaim } from "exclaim/amqplib";
import type { Broker, Consumer, QueuePlace, Served, Supply, Voucherless, Work } from "../queue/broker.ts";

type QueueType = "classic" | "quorum";

/** Unconfirmed at a time: what the broker is asked to hold in its memory for a publisher. */
const BULK = 1_000;

/** RabbitMQ with durable classic queues and persistent messages. */
export const rabbitmq: Broker = rabbitmqBroker("classic");

/** RabbitMQ with quorum queues: a message is confirmed, and an acknowledgement counts, once most nodes have it on their disks. */
export const rabbitmqQuorum: Broker = rabbitmqBroker("quorum");

/** The queue is declared for all alike as `declareTopology` does it, with its dead letters and delays. */
function rabbitmqBroker(queueType: QueueType): Broker {
  return {
    async supply(place): Promise<Supply> {
      const connection = await open(place);
      const channel = await connection.createConfirmChannel();
      const { queue, deadLetterQueue, delayQueues } = await declareTopology(channel, place.queue, { queueType });
      const waiting = [queue, deadLetterQueue, ...delayQueues.map(({ name }) => name)];
      return {
        fill: (firstUser, jobs) => publish(channel, queue, firstUser, jobs),
        async left() {
          let count = 0;
          for (const name of waiting) count += (await channel.checkQueue(name)).messageCount;
          return count;
        },
        async close() {
          for (const name of waiting) await channel.deleteQueue(name);
          await connection.close();
        },
      };
    },
    async consume(place, work, served): Promise<Consumer> {
      const connection = await open(place);
      connection.on("error", served.onFault);
      return consumerOn(connection, (channel) => callbackOf(channel, work, { served, queueType }), place);
    },
  };
}

/** Without delay, since small answers would wait for each other otherwise. */
function open({ urls }: QueuePlace): Promise<ChannelModel> {
  return connect(urls[0] ?? "", { noDelay: true });
}

async function publish(channel: ConfirmChannel, queue: string, firstUser: number, jobs: number): Promise<void> {
  for (let done = 0; done < jobs; done += 1) {
    const user_id = firstUser + done;
    channel.sendToQueue(queue, Buffer.from(JSON.stringify({ user_id })), {
      persistent: true,
      messageId: `user-${user_id}`,
      contentType: "application/json",
    });
    if ((done + 1) % BULK === 0) await channel.waitForConfirms();
  }
  await channel.waitForConfirms();
}

/** One channel for all rounds: a broker that is closed one at once may not have come to all of its acknowledgements. */
async function consumerOn(
  connection: ChannelModel,
  callbackFor: (channel: Channel) => (message: ConsumeMessage | null) => unknown,
  { queue, concurrency }: QueuePlace & { readonly concurrency: number },
): Promise<Consumer> {
  const channel = await connection.createChannel();
  await channel.prefetch(concurrency);
  const callback = callbackFor(channel);
  let tag = "";
  return {
    async start() {
      tag = (await channel.consume(queue, callback, { noAck: false })).consumerTag;
    },
    async stop() {
      await channel.cancel(tag);
    },
    close: () => connection.close(),
  };
}

/** Settled is what `channel.ack` was called for, by whomever. */
function callbackOf(
  channel: Channel,
  work: Work,
  { served, queueType }: { readonly served: Served; readonly queueType: QueueType },
): (message: ConsumeMessage | null) => unknown {
  const ack = channel.ack.bind(channel);
  channel.ack = (message, allUpTo) => {
    ack(message, allUpTo);
    served.onSettled();
  };
  channel.nack = () => served.onFault(new Error("a message was given up"));
  channel.on("error", served.onFault);
  if (work.kind === "claim") {
    return withClaim<Voucherless, { code: string }, { id: string; code: string }>(
      channel,
      async (_message, claim) => ({ code: claim.row.code }),
      { pool: work.pool, claimant: ({ data }) => String(data.user_id), queueType, onError: served.onFault },
    );
  }
  return async (message) => {
    if (message === null) return;
    try {
      await work.serve(JSON.parse(message.content.toString()) as Voucherless);
      channel.ack(message);
    } catch (error) {
      served.onFault(error instanceof Error ? error : new Error(String(error)));
    }
  };
}
