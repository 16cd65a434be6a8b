import { randomUUID } from "node:crypto";
import type { EventEmitter } from "node:events";
import amqp2, { type ChannelModel, type ConfirmChannel } from "amqplib";
import amqp1 from "amqplib-1";
import { amqplibTarget } from "../../src/outbox/amqplib.ts";
import type { OutgoingMessage } from "../../src/outbox/target.ts";
import type { TargetFixture } from "../conformance/target-conformance.ts";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";

export interface AmqplibBed extends TargetFixture {
  /** The channel that the target sends on, behind the proxy. */
  readonly channel: ConfirmChannel;
  readonly connection: ChannelModel;
  readonly queue: string;
  readonly proxy: CutProxy;
  /** A channel that does not go through the proxy. */
  readonly own: ConfirmChannel;
}

/** The queues of a test file, by what they are called. */
export const amqplibBeds: readonly (readonly [name: string, open: () => Promise<AmqplibBed>])[] = [
  ["amqplib 2, classic queue", () => openBed(amqp2, "classic")],
  ["amqplib 2, quorum queue", () => openBed(amqp2, "quorum")],
  ["amqplib 1, classic queue", () => openBed(amqp1 as typeof amqp2, "classic")],
];

export function openAmqplibBed(): Promise<AmqplibBed> {
  return openBed(amqp2, "classic");
}

async function openBed(amqplib: typeof amqp2, type: "classic" | "quorum"): Promise<AmqplibBed> {
  const queue = `q-${randomUUID()}`;
  const proxy = await startCutProxy(rabbitmqUrl());
  const [connection, ownConnection] = await Promise.all([amqplib.connect(proxy.url), amqplib.connect(rabbitmqUrl())]);
  connection.on("error", () => {});
  const [channel, own] = await Promise.all([connection.createConfirmChannel(), ownConnection.createConfirmChannel()]);
  await own.assertQueue(queue, { durable: true, arguments: { "x-queue-type": type } });
  return {
    channel,
    connection,
    queue,
    proxy,
    own,
    target: amqplibTarget(channel, { queue }),
    impatient: amqplibTarget(channel, { queue, sendTimeoutMs: 100 }),
    dropsRepeats: false,
    keepsNull: true,
    refusedId: "m".repeat(300),
    received: () => receive(own, queue),
    listeners: () => listenersOf(channel) + listenersOf(channel.connection as unknown as EventEmitter),
    works: async () => (await channel.checkQueue(queue)).queue === queue,
    cut: proxy.cut,
    hang: proxy.hang,
    async close() {
      proxy.cut();
      await own.deleteQueue(queue);
      await ownConnection.close();
      await proxy.close();
    },
  };
}

/** Takes every message of the queue, up to one that is sent there last: a quorum queue tells how many they are only after a while. */
export async function receive(channel: ConfirmChannel, queue: string): Promise<OutgoingMessage[]> {
  const last = randomUUID();
  channel.sendToQueue(queue, Buffer.from("{}"), { messageId: last });
  await channel.waitForConfirms();
  const messages: OutgoingMessage[] = [];
  const { consumerTag } = await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const { messageId, type } = message.properties;
      messages.push({ id: messageId, topic: type, payload: JSON.parse(message.content.toString()) });
    },
    { noAck: true },
  );
  await eventually(() => messages.at(-1)?.id === last, { what: "the last message" });
  await channel.cancel(consumerTag);
  return messages.slice(0, -1);
}

export function listenersOf(emitter: Pick<EventEmitter, "eventNames" | "listenerCount">): number {
  return emitter.eventNames().reduce((sum, event) => sum + emitter.listenerCount(event), 0);
}
