import type { AmqpChannel } from "./amqplib-channel.ts";
import { OwnChannel } from "./amqplib-own-channel.ts";

/**
 * Whether the broker has put back what a cancelled consumer had in hand, so that a copy would make two of it.
 *
 * Before RabbitMQ 4.3 a consumer is cancelled when its queue is gone, and what it has in hand is nowhere else. From 4.3 on also when it
 * took too long: then the queue is there and has the messages again. Source: RabbitMQ 4.3, "Consumers", Delivery Acknowledgement Timeout.
 */
export async function isTakenBack(channel: AmqpChannel, queue: string): Promise<boolean> {
  if (!cancelsSlowConsumers(channel)) return false;
  const own = new OwnChannel(channel);
  try {
    await own.ask((asked) => asked.checkQueue(queue));
    return true;
  } catch {
    return false;
  } finally {
    await own.close();
  }
}

function cancelsSlowConsumers(channel: AmqpChannel): boolean {
  const { connection } = channel as { readonly connection?: { readonly serverProperties?: { readonly version?: unknown } } };
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(String(connection?.serverProperties?.version)) ?? [];
  return Number(major) > 4 || (Number(major) === 4 && Number(minor) >= 3);
}
