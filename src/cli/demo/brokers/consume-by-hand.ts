import type { ChannelModel, ConfirmChannel, ConsumeMessage } from "amqplib";
import { ExclaimError } from "../../../errors.ts";
import type { Consuming, Handler } from "../broker.ts";
import { noteSettled } from "./note-settled.ts";
import { ATTEMPTS, queuesOf, type RabbitmqQueues } from "./rabbitmq-queues.ts";

/** Counts the attempts that failed. */
const ATTEMPTS_HEADER = "x-attempts";

/**
 * Consumes as a careful team does without exclaim: so many messages at a time, an acknowledgement after the handler and not before,
 * three attempts with a pause between them, and a queue for what fails for good.
 * Returns what stops it: no more messages are taken, and those it is at are finished.
 * Died in between: the broker delivers again what was not acknowledged.
 */
export async function consumeByHand<D>(
  connection: ChannelModel,
  { queue, concurrency, database, onError }: Consuming,
  handler: Handler<D>,
): Promise<() => Promise<void>> {
  const channel = await connection.createConfirmChannel();
  // Without its channel a consumer is of no use: with the connection closed, its pod ends and says so.
  const giveUp = (error: Error) => {
    onError(error);
    connection.close().catch(() => {});
  };
  channel.on("error", giveUp);
  await channel.prefetch(concurrency);

  const queues = queuesOf(queue);
  const open = new Set<Promise<void>>();
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return giveUp(new ExclaimError("ABORTED", `RabbitMQ has cancelled the consumer of ${queue}`));
    const serving = serve(message)
      .catch(giveUp)
      .finally(() => open.delete(serving));
    open.add(serving);
  });

  async function serve(message: ConsumeMessage): Promise<void> {
    const id: unknown = message.properties.messageId;
    try {
      const data = JSON.parse(message.content.toString()) as D;
      await handler({ id: String(id), data });
      await noteSettled(database, String(id), "completed");
    } catch {
      const attempts = attemptsOf(message) + 1;
      if (attempts < ATTEMPTS) return tryAgain(channel, message, queues, attempts);
      await noteSettled(database, String(id), "failed");
      // To the dead-letter queue, by the way the work queue was declared.
      return channel.nack(message, false, false);
    }
    channel.ack(message);
  }

  return async () => {
    await channel.cancel(consumerTag);
    await Promise.all(open);
    await channel.close();
  };
}

/** The copy first: the other way round, a process that dies in between has lost the message. */
async function tryAgain(
  channel: ConfirmChannel,
  message: ConsumeMessage,
  { retry }: RabbitmqQueues,
  attempts: number,
): Promise<void> {
  const { messageId, contentType } = message.properties;
  const options = { messageId, contentType, headers: { [ATTEMPTS_HEADER]: attempts }, persistent: true, mandatory: true };
  await new Promise<void>((resolve, reject) => {
    channel.publish("", retry, message.content, options, (error) => (error ? reject(error) : resolve()));
  });
  channel.ack(message);
}

function attemptsOf({ properties }: ConsumeMessage): number {
  const attempts: unknown = properties.headers?.[ATTEMPTS_HEADER];
  return typeof attempts === "number" ? attempts : 0;
}
