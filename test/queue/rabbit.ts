import { randomUUID } from "node:crypto";
import amqp, { type Channel, type ChannelModel, type ConfirmChannel, type GetMessage, type Options } from "amqplib";
import type { ExclaimError } from "../../src/errors.ts";
import { type ConsumerCallback, declareTopology, type Topology, type TopologyOptions } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";

/** One queue of its own on the shared server, with its delay queues and dead letters, and channels to work on it. */
export interface Rabbit {
  readonly connection: ChannelModel;
  readonly queue: string;
  readonly topology: Topology;
  /** What consumers reported by `onError`. */
  readonly errors: ExclaimError[];
  readonly onError: (error: ExclaimError) => void;
  /** Resolves once the broker has the message. */
  send(data: unknown, options?: Options.Publish): Promise<void>;
  sendRaw(content: Buffer, options?: Options.Publish): Promise<void>;
  /** A channel that is closed with the test. `prefetch` 10 unless said. */
  channel(prefetch?: number): Promise<Channel>;
  /** Consumes the queue with what `callbackFor` makes for a new channel. */
  consume(callbackFor: (channel: Channel) => ConsumerCallback, prefetch?: number): Promise<Channel>;
  /** Messages that wait in a queue for somebody to take them. */
  ready(queue?: string): Promise<number>;
  /** Resolves once nothing is in the work queue and the delay queues. Messages in a consumer's hands do not count. */
  drained(): Promise<void>;
  /** Takes the next dead letter, once there is one. */
  deadLetter(): Promise<GetMessage>;
  close(): Promise<void>;
}

/** Quick steps, so that tests need not wait. */
export const DELAYS_MS = [50, 100, 250, 1_000];

export async function openRabbit(options: TopologyOptions = {}): Promise<Rabbit> {
  const connection = await amqp.connect(rabbitmqUrl());
  connection.on("error", () => {});
  const own = await connection.createConfirmChannel();
  const queue = `q-${randomUUID()}`;
  const topology = await declareTopology(own, queue, { delaysMs: DELAYS_MS, ...options });
  const errors: ExclaimError[] = [];
  const names = [queue, ...topology.delayQueues.map(({ name }) => name)];
  const ready = async (name = queue): Promise<number> => (await own.checkQueue(name)).messageCount;

  const sendRaw = (content: Buffer, given: Options.Publish = {}): Promise<void> => confirmed(own, queue, content, given);
  const channel = async (prefetch = 10): Promise<Channel> => {
    const opened = await connection.createChannel();
    opened.on("error", () => {});
    await opened.prefetch(prefetch);
    return opened;
  };

  return {
    connection,
    queue,
    topology,
    errors,
    onError: (error) => errors.push(error),
    sendRaw,
    send: (data, given) => sendRaw(Buffer.from(JSON.stringify(data)), given),
    channel,
    async consume(callbackFor, prefetch) {
      const opened = await channel(prefetch);
      await opened.consume(queue, callbackFor(opened));
      return opened;
    },
    ready,
    async drained() {
      const isEmpty = async () => (await Promise.all(names.map((name) => ready(name)))).every((count) => count === 0);
      await eventually(isEmpty, { what: "empty queues" });
    },
    deadLetter: () =>
      eventually(() => own.get(topology.deadLetterQueue, { noAck: true }) as Promise<GetMessage>, { what: "a dead letter" }),
    async close() {
      const cleaner = await connection.createChannel();
      for (const name of [...names, topology.deadLetterQueue]) await cleaner.deleteQueue(name);
      await connection.close();
    },
  };
}

/** Publishes to a queue. Resolves once the broker has the message. */
export function confirmed(
  channel: ConfirmChannel,
  queue: string,
  content: Buffer,
  options: Options.Publish = {},
): Promise<void> {
  return publishConfirmed(channel, { exchange: "", routingKey: queue }, content, options);
}

export function publishConfirmed(
  channel: ConfirmChannel,
  to: { readonly exchange: string; readonly routingKey: string },
  content: Buffer,
  options: Options.Publish,
): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.publish(to.exchange, to.routingKey, content, { persistent: true, ...options }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
