import type { ChannelModel, ConfirmChannel, Message } from "amqplib";
import type pg from "pg";
import { ExclaimError } from "../../../errors.ts";
import { type AmqpDelivery, consume } from "../../../queue/amqplib.ts";
import { messageOf } from "../../../queue/message-of.ts";
import type {
  Broker,
  ClaimingHandler,
  Consuming,
  DemoQueue,
  DemoTarget,
  Handler,
  SignUp,
  Voucher,
  VoucherMessage,
} from "../broker.ts";
import { consumeByHand } from "./consume-by-hand.ts";
import { notingPool } from "./note-settled.ts";
import { closeRabbitmq, connectRabbitmq, consumeOnConnection, withRabbitmq } from "./rabbitmq-connection.ts";
import {
  ATTEMPT_DELAY_MS,
  ATTEMPTS,
  DELAYS_MS,
  declareQueues,
  deleteQueues,
  queuesOf,
  type RabbitmqQueues,
} from "./rabbitmq-queues.ts";

/** RabbitMQ, through amqplib. */
export function rabbitmqBroker(url: string): Broker {
  return {
    prepare: () => withRabbitmq(url, async ({ connection }) => `RabbitMQ ${connection.serverProperties.version} (AMQP_URL)`),
    openQueue: (name, database) => openQueue(url, name, database),
    consume: <D>(consuming: Consuming, handler: Handler<D>) =>
      consumeOnConnection(url, (connection) => consumeByHand(connection, consuming, handler)),
    consumeWithClaim: (consuming, claiming) =>
      consumeOnConnection(url, (connection) => consumeClaiming(connection, consuming, claiming)),
    openTarget: (name) => openTarget(url, name),
  };
}

async function openTarget(url: string, name: string): Promise<DemoTarget> {
  const connection = await connectRabbitmq(url);
  const channel = await connection.createConfirmChannel();
  // Whoever sends then learns of it.
  channel.on("error", () => {});
  return { to: channel, queue: queuesOf(name).work, close: () => closeRabbitmq(connection) };
}

async function openQueue(url: string, name: string, database: pg.Pool): Promise<DemoQueue> {
  const queues = queuesOf(name);
  const connection = await connectRabbitmq(url);
  // On another connection, since this one may be what has failed.
  const remove = async () => {
    await closeRabbitmq(connection);
    await withRabbitmq(url, (own) => deleteQueues(own, queues));
  };
  try {
    await declareQueues(connection, queues);
    const channel = await connection.createConfirmChannel();
    // Whoever publishes then learns of it.
    channel.on("error", () => {});
    return {
      publish: (messages) => publish(channel, queues, messages),
      async countSettled() {
        const { rows } = await database.query<{ settled: number }>("select count(settled_as)::integer as settled from message");
        return rows[0]?.settled ?? 0;
      },
      // Whoever consumed has done so: see note-settled.ts.
      recordSettled: async () => {},
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Resolves once the broker has confirmed every message, and has given none back because there is no queue for it. */
async function publish(channel: ConfirmChannel, { work }: RabbitmqQueues, messages: readonly VoucherMessage[]): Promise<void> {
  const returned: string[] = [];
  const onReturn = ({ properties }: Message) => returned.push(String(properties.messageId));
  channel.on("return", onReturn);
  try {
    for (const { id, data } of messages) {
      const options = { messageId: id, contentType: "application/json", persistent: true, mandatory: true };
      channel.publish("", work, Buffer.from(JSON.stringify(data)), options);
    }
    await channel.waitForConfirms();
  } catch (cause) {
    throw new ExclaimError("REFUSED", `RabbitMQ did not confirm its messages: ${messageOf(cause)}`, { cause });
  } finally {
    channel.off("return", onReturn);
  }
  if (returned.length === 0) return;
  throw new ExclaimError("REFUSED", `RabbitMQ has no queue for ${returned.length} messages, first ${returned[0]}`);
}

async function consumeClaiming(
  connection: ChannelModel,
  { queue, concurrency, database, onError }: Consuming,
  { handler, options }: ClaimingHandler,
): Promise<() => Promise<void>> {
  const consumer = await consume<SignUp, void, Voucher>(
    connection,
    queue,
    (delivery: AmqpDelivery<SignUp>, claim) =>
      handler({ id: String(delivery.properties.messageId), data: delivery.data }, claim),
    {
      ...options,
      pool: notingPool(options.pool, database),
      attempts: ATTEMPTS,
      attemptDelayMs: ATTEMPT_DELAY_MS,
      delaysMs: DELAYS_MS,
      concurrency,
      // The parent has declared the queues, and deletes them: a pod that is late must not bring one back.
      declare: false,
      onError,
    },
  );
  return () => consumer.close();
}
