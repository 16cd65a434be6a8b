import { randomUUID } from "node:crypto";
import { once } from "node:events";
import amqplib, { type Channel, type ChannelModel, type ConfirmChannel, type Message } from "amqplib";
import { afterAll } from "vitest";
import { type ExclaimError, isExclaimError } from "../../src/errors.ts";
import { type AmqpChannel, type ConsumerCallback, consume, declareTopology, withClaim } from "../../src/queue/amqplib.ts";
import type { QueueType } from "../../src/queue/amqplib-topology.ts";
import { messageOf } from "../../src/queue/message-of.ts";
import type {
  BrokerOptions,
  Ended,
  KeyHandler,
  KeyOptions,
  PoolHandler,
  PoolOptions,
  QueueSetup,
  SignUp,
  TestBroker,
  TestConsumer,
} from "../conformance/queue/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { AMQPLIBS } from "./amqplib-scratch-queues.ts";
import { ScriptedPool, type Voucher } from "./scripted-pool.ts";

/** Steps as tests wait for: each is a queue to declare. */
const DELAYS_MS = [20, 250, 500];

interface Client {
  readonly amqp: typeof amqplib;
  readonly queueType: QueueType;
  /** Whether consumers are the adapter's own, or callbacks that the test gives to channels. */
  readonly by: "consume" | "withClaim";
}

const [[, amqplib1]] = AMQPLIBS;

export const rabbitmqQueues: readonly QueueSetup[] = [
  setup("RabbitMQ with quorum queues", { amqp: amqplib, queueType: "quorum", by: "withClaim" }),
  setup("RabbitMQ with classic queues, by consume()", { amqp: amqplib, queueType: "classic", by: "consume" }),
  setup("RabbitMQ through amqplib 1.2", { amqp: amqplib1, queueType: "quorum", by: "withClaim" }),
];

function setup(name: string, client: Client): QueueSetup {
  let connection: Promise<ChannelModel> | undefined;
  afterAll(async () => {
    await (await connection)?.close();
  });
  return {
    name,
    storesResults: false,
    async open(options) {
      connection ??= connected(client.amqp);
      return openRabbitQueue(await connection, client, options);
    },
  };
}

async function connected(amqp: typeof amqplib): Promise<ChannelModel> {
  const connection = await amqp.connect(rabbitmqUrl());
  connection.on("error", () => {});
  return connection;
}

async function openRabbitQueue(connection: ChannelModel, client: Client, options: BrokerOptions): Promise<TestBroker> {
  const { queueType } = client;
  const own = await connection.createConfirmChannel();
  const { queue, deadLetterQueue, delayQueues } = await declareTopology(own, `q-${randomUUID()}`, {
    queueType,
    delaysMs: DELAYS_MS,
  });
  const waiting = [queue, ...delayQueues.map(({ name }) => name)];
  return new RabbitQueue({ connection, own, queue, deadLetterQueue, waiting, client, ...options });
}

interface Parts extends BrokerOptions {
  readonly connection: ChannelModel;
  readonly own: ConfirmChannel;
  readonly queue: string;
  readonly deadLetterQueue: string;
  /** The queue, and those in which its messages wait. */
  readonly waiting: readonly string[];
  readonly client: Client;
}

interface Serving extends TestConsumer {
  /** The channel it consumes on now. */
  channel(): Channel;
  /** Consumes anew, where that is not its own doing. */
  resume(): Promise<void>;
}

type MakeCallback = (channel: Channel) => ConsumerCallback;

class RabbitQueue implements TestBroker {
  readonly errors: ExclaimError[] = [];
  readonly #parts: Parts;
  readonly #watch = new ChannelWatch();
  readonly #servings: Serving[] = [];
  readonly #pools: ScriptedPool[] = [];
  readonly #dead = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async send(data: SignUp): Promise<string> {
    const messageId = randomUUID();
    const content = Buffer.from(JSON.stringify(data));
    const { own, queue } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      const confirmed = (error: unknown): void => (error ? reject(error) : resolve());
      own.publish("", queue, content, { messageId, persistent: true, contentType: "application/json" }, confirmed);
    });
    return messageId;
  }

  serve(handler: PoolHandler, options: PoolOptions, concurrency = 1): Promise<TestConsumer> {
    if (options.pool instanceof ScriptedPool) this.#pools.push(options.pool);
    const all = { ...options, ...this.#ours() };
    if (this.#parts.client.by === "withClaim") {
      return this.#serveByCallback((channel) => withClaim<SignUp, unknown, Voucher>(channel, handler, all), concurrency);
    }
    const { queue } = this.#parts;
    return this.#serveByConsumer((connection) => consume(connection, queue, handler, { ...all, concurrency }));
  }

  serveKeys(handler: KeyHandler, options: KeyOptions, concurrency = 1): Promise<TestConsumer> {
    const all = { ...options, ...this.#ours() };
    if (this.#parts.client.by === "withClaim") {
      return this.#serveByCallback((channel) => withClaim(channel, handler, all), concurrency);
    }
    const { queue } = this.#parts;
    return this.#serveByConsumer((connection) => consume(connection, queue, handler, { ...all, concurrency }));
  }

  async ended(id: string): Promise<Ended> {
    const end = async () => ((await this.#isDead(id)) ? "dead-lettered" : (await this.#isGone(id)) && "completed");
    const status = await eventually(end, { timeoutMs: 15_000, what: `the end of message ${id}` });
    return status === "completed" ? { status } : { status, reason: await this.#reasonOf(id) };
  }

  async loseDelivery(): Promise<void> {
    await Promise.all(
      this.#servings.map(async (serving) => {
        const channel = serving.channel();
        const closed = once(channel, "close");
        // What RabbitMQ closes a channel for: an answer to what it never delivered there.
        this.#watch.acknowledge(channel, { fields: { deliveryTag: 999_999 } } as Message);
        await closed;
        await serving.resume();
      }),
    );
  }

  async close(): Promise<void> {
    const { own, waiting, deadLetterQueue } = this.#parts;
    await Promise.all(
      this.#servings.map((serving) =>
        serving
          .channel()
          .close()
          .catch(() => {}),
      ),
    );
    for (const name of [...waiting, deadLetterQueue]) await own.deleteQueue(name);
    await own.close();
  }

  #ours() {
    const { attempts = 1, client } = this.#parts;
    const onError = (error: ExclaimError) => this.errors.push(error);
    return { attempts, attemptDelayMs: 20, delaysMs: DELAYS_MS, queueType: client.queueType, onError };
  }

  async #serveByCallback(make: MakeCallback, concurrency: number): Promise<TestConsumer> {
    const { connection, queue } = this.#parts;
    const start = async () => {
      const channel = this.#watch.watched(await connection.createChannel());
      await channel.prefetch(concurrency);
      const callback = make(channel);
      const { consumerTag } = await channel.consume(queue, callback);
      return { channel, callback, consumerTag };
    };
    let current = await start();
    const serving = {
      channel: () => current.channel,
      resume: async () => {
        current = await start();
      },
      close: async () => {
        const { channel, callback, consumerTag } = current;
        await channel.cancel(consumerTag);
        await callback.drain();
        await channel.close();
      },
    };
    this.#servings.push(serving);
    return serving;
  }

  async #serveByConsumer(start: (connection: ConnectionSeen) => Promise<TestConsumer>): Promise<TestConsumer> {
    const { connection } = this.#parts;
    const channels: Channel[] = [];
    const seen = {
      createChannel: async () => {
        const channel = this.#watch.watched(await connection.createChannel());
        channels.push(channel);
        return channel;
      },
      on: connection.on.bind(connection),
      removeListener: connection.removeListener.bind(connection),
    };
    const consumer = await start(seen);
    const channel = () => channels.at(-1) as Channel;
    this.#servings.push({ channel, resume: async () => {}, close: () => consumer.close() });
    return consumer;
  }

  /** Whether the message is among the dead letters. */
  async #isDead(id: string): Promise<boolean> {
    const { own, deadLetterQueue } = this.#parts;
    for (;;) {
      const letter = await own.get(deadLetterQueue, { noAck: true });
      if (letter === false) return this.#dead.has(id);
      this.#dead.add(letter.properties.messageId);
    }
  }

  /** Whether the message was acknowledged and no copy of it is under way, seen twice since one may be between two queues. */
  async #isGone(id: string): Promise<boolean> {
    for (const _look of [1, 2]) {
      if (!this.#watch.isAcknowledged(id)) return false;
      const { own, waiting } = this.#parts;
      const counts = await Promise.all(waiting.map(async (name) => (await own.checkQueue(name)).messageCount));
      if (counts.some((count) => count > 0)) return false;
    }
    return this.#watch.isAcknowledged(id);
  }

  /** As it was noted when the message was dead-lettered, not later. */
  async #reasonOf(id: string): Promise<string> {
    const { database, queue } = this.#parts;
    const letter = this.#pools.flatMap((pool) => pool.deadLetters).find(({ messageId }) => messageId === id);
    if (letter !== undefined) {
      const { error } = letter;
      return isExclaimError(error) ? reasonFrom(error.code, error.message) : messageOf(error);
    }
    const noted = "select code, reason from exclaim.dead_letters where queue = $1 and message_id = $2";
    const { rows } = (await database?.query(noted, [queue, id])) ?? { rows: [] };
    if (rows.length !== 1) throw new Error(`Message ${id} is a dead letter without a reason.`);
    return reasonFrom(rows[0].code, rows[0].reason);
  }
}

type ConnectionSeen = Parameters<typeof consume>[0];

function reasonFrom(code: string, reason: string): string {
  return code === "REFUSED" || code === "HANDLER_ERROR" ? reason : `${code}: ${reason}`;
}

/** Sees what is delivered and acknowledged on channels, and changes nothing of it. */
class ChannelWatch {
  /** Deliveries without an answer, by their channel and tag. */
  readonly #open = new Map<string, string>();
  readonly #acknowledged = new Set<string>();
  readonly #acks = new WeakMap<AmqpChannel, Channel["ack"]>();
  #channels = 0;

  watched(channel: Channel): Channel {
    this.#channels += 1;
    const number = this.#channels;
    const keyOf = ({ fields }: Message) => `${number}/${fields.deliveryTag}`;
    const { consume, ack, nack } = channel;
    this.#acks.set(channel, ack.bind(channel));
    channel.on("error", () => {});
    channel.on("close", () => {
      for (const key of [...this.#open.keys()]) if (key.startsWith(`${number}/`)) this.#open.delete(key);
    });
    channel.consume = (queue, onMessage, options) => {
      const seen: typeof onMessage = (message) => {
        if (message !== null) {
          this.#open.set(keyOf(message), message.properties.messageId);
          this.#acknowledged.delete(message.properties.messageId);
        }
        onMessage(message);
      };
      return consume.call(channel, queue, seen, options);
    };
    channel.ack = (message, allUpTo) => {
      ack.call(channel, message, allUpTo);
      this.#open.delete(keyOf(message));
      this.#acknowledged.add(message.properties.messageId);
    };
    channel.nack = (message, allUpTo, requeue) => {
      nack.call(channel, message, allUpTo, requeue);
      this.#open.delete(keyOf(message));
    };
    return channel;
  }

  /** Acknowledges unseen. */
  acknowledge(channel: Channel, message: Message): void {
    this.#acks.get(channel)?.(message);
  }

  /** Whether the last answer about a message was an acknowledgement, and no delivery of it is without one. */
  isAcknowledged(id: string): boolean {
    return this.#acknowledged.has(id) && ![...this.#open.values()].includes(id);
  }
}
