import { randomUUID } from "node:crypto";
import amqplib, { type Channel, type ChannelModel, type ConfirmChannel, type Message } from "amqplib";
import { afterAll } from "vitest";
import { type ExclaimError, isExclaimError } from "../../src/errors.ts";
import { type Consumer, type ConsumerCallback, consume, declareTopology, withClaim } from "../../src/queue/amqplib.ts";
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
import { ChannelWatch, countPublished, timesPublished } from "./amqplib-channel-watch.ts";
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
  const spare: QueueNames[] = [];
  afterAll(async () => {
    if (connection === undefined) return;
    const own = await (await connection).createChannel();
    for (const { waiting, deadLetterQueue } of spare) {
      for (const name of [...waiting, deadLetterQueue]) await own.deleteQueue(name);
    }
    await (await connection).close();
  });
  return {
    name,
    storesResults: false,
    async open(options) {
      connection ??= connected(client.amqp);
      const own = await (await connection).createConfirmChannel();
      const names = spare.pop() ?? (await declared(own, client.queueType));
      return new RabbitQueue({ connection: await connection, own, names, spare, client, ...options });
    },
  };
}

async function connected(amqp: typeof amqplib): Promise<ChannelModel> {
  const connection = await amqp.connect(rabbitmqUrl(), { noDelay: true });
  connection.on("error", () => {});
  const channel = await connection.createChannel();
  countPublished(Object.getPrototypeOf(channel));
  await channel.close();
  return connection;
}

/** One queue, and the others that belong to it. */
interface QueueNames {
  readonly queue: string;
  readonly deadLetterQueue: string;
  /** The queue, and those in which its messages wait. */
  readonly waiting: readonly string[];
}

async function declared(own: ConfirmChannel, queueType: QueueType): Promise<QueueNames> {
  const options = { queueType, delaysMs: DELAYS_MS };
  const { queue, deadLetterQueue, delayQueues } = await declareTopology(own, `q-${randomUUID()}`, options);
  return { queue, deadLetterQueue, waiting: [queue, ...delayQueues.map(({ name }) => name)] };
}

interface Parts extends BrokerOptions {
  readonly connection: ChannelModel;
  readonly own: ConfirmChannel;
  readonly names: QueueNames;
  /** Where queues are left that are empty: it takes long to declare new ones. */
  readonly spare: QueueNames[];
  readonly client: Client;
}

interface Serving extends TestConsumer {
  /** The channel it consumes on now. */
  channel(): Channel;
  /** Consumes anew, where that is not its own doing. */
  resume(): Promise<void>;
  /** Ends at once, whatever is going on. */
  abandon(): Promise<void>;
}

type MakeCallback = (channel: Channel) => ConsumerCallback;

class RabbitQueue implements TestBroker {
  readonly errors: ExclaimError[] = [];
  readonly #parts: Parts;
  readonly #watch = new ChannelWatch();
  readonly #servings: Serving[] = [];
  readonly #pools: ScriptedPool[] = [];
  readonly #dead = new Set<string>();
  readonly #unended = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async send(data: SignUp, messageId: string = randomUUID()): Promise<string> {
    const content = Buffer.from(JSON.stringify(data));
    const { own, names } = this.#parts;
    this.#unended.add(messageId);
    await new Promise<void>((resolve, reject) => {
      const confirmed = (error: unknown): void => (error ? reject(error) : resolve());
      own.publish("", names.queue, content, { messageId, persistent: true, contentType: "application/json" }, confirmed);
    });
    return messageId;
  }

  serve(handler: PoolHandler, options: PoolOptions, concurrency = 1): Promise<TestConsumer> {
    if (options.pool instanceof ScriptedPool) this.#pools.push(options.pool);
    const all = { ...options, ...this.#ours() };
    if (this.#parts.client.by === "withClaim") {
      return this.#serveByCallback((channel) => withClaim<SignUp, unknown, Voucher>(channel, handler, all), concurrency);
    }
    const { queue } = this.#parts.names;
    return this.#serveByConsumer((connection) => consume(connection, queue, handler, { ...all, concurrency }));
  }

  serveKeys(handler: KeyHandler, options: KeyOptions, concurrency = 1): Promise<TestConsumer> {
    const all = { ...options, ...this.#ours() };
    if (this.#parts.client.by === "withClaim") {
      return this.#serveByCallback((channel) => withClaim(channel, handler, all), concurrency);
    }
    const { queue } = this.#parts.names;
    return this.#serveByConsumer((connection) => consume(connection, queue, handler, { ...all, concurrency }));
  }

  async ended(id: string): Promise<Ended> {
    const end = async () => ((await this.#isDead(id)) ? "dead-lettered" : (await this.#isGone(id)) && "completed");
    const status = await eventually(end, { timeoutMs: 15_000, what: `the end of message ${id}` });
    this.#unended.delete(id);
    return status === "completed" ? { status } : { status, reason: await this.#reasonOf(id) };
  }

  async loseDelivery(): Promise<void> {
    await Promise.all(
      this.#servings.map(async (serving) => {
        const channel = serving.channel();
        // Not `once`, which takes the error that comes first for a failure.
        const closed = new Promise<void>((resolve) => channel.on("close", resolve));
        // What RabbitMQ closes a channel for: an answer to what it never delivered there.
        this.#watch.acknowledge(channel, { fields: { deliveryTag: 999_999 } } as Message);
        await closed;
        await serving.resume();
      }),
    );
  }

  async close(): Promise<void> {
    const { own, names, spare } = this.#parts;
    await Promise.allSettled(this.#servings.map((serving) => serving.abandon()));
    if (this.#unended.size === 0) spare.push(names);
    else for (const name of [...names.waiting, names.deadLetterQueue]) await own.deleteQueue(name);
    await own.close();
  }

  #ours() {
    const { attempts = 1, client } = this.#parts;
    const onError = (error: ExclaimError) => this.errors.push(error);
    return { attempts, attemptDelayMs: 20, delaysMs: DELAYS_MS, queueType: client.queueType, onError };
  }

  async #serveByCallback(make: MakeCallback, concurrency: number): Promise<TestConsumer> {
    const { connection, names } = this.#parts;
    const start = async () => {
      const channel = this.#watch.watched(await connection.createChannel());
      await channel.prefetch(concurrency);
      const callback = make(channel);
      const { consumerTag } = await channel.consume(names.queue, callback);
      return { channel, callback, consumerTag };
    };
    let current = await start();
    const serving = {
      channel: () => current.channel,
      resume: async () => {
        current = await start();
      },
      abandon: () => current.channel.close(),
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

  async #serveByConsumer(start: (connection: ConnectionSeen) => Promise<Consumer>): Promise<TestConsumer> {
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
    this.#servings.push({
      channel,
      resume: async () => {},
      abandon: () => consumer.close({ drainMs: 0 }),
      close: () => consumer.close(),
    });
    return consumer;
  }

  /** Whether the message is among the dead letters. */
  async #isDead(id: string): Promise<boolean> {
    const { own, names } = this.#parts;
    for (;;) {
      const letter = await own.get(names.deadLetterQueue, { noAck: true });
      if (letter === false) return this.#dead.has(id);
      this.#dead.add(letter.properties.messageId);
    }
  }

  /** Whether the message and every copy of it were acknowledged, and none came back. */
  async #isGone(id: string): Promise<boolean> {
    if (!this.#watch.isDone(id, timesPublished(id))) return false;
    const { own, names } = this.#parts;
    const { messageCount } = await own.checkQueue(names.queue);
    return messageCount === 0 && this.#watch.isDone(id, timesPublished(id));
  }

  /** As it was noted when the message was dead-lettered, not later. */
  async #reasonOf(id: string): Promise<string> {
    const { database, names } = this.#parts;
    const letter = this.#pools.flatMap((pool) => pool.deadLetters).find(({ messageId }) => messageId === id);
    if (letter !== undefined) {
      const { error } = letter;
      return isExclaimError(error) ? reasonFrom(error.code, error.message) : messageOf(error);
    }
    const noted = "select code, reason from exclaim.dead_letters where queue = $1 and message_id = $2";
    const { rows } = (await database?.query(noted, [names.queue, id])) ?? { rows: [] };
    if (rows.length !== 1) throw new Error(`Message ${id} is a dead letter without a reason.`);
    return reasonFrom(rows[0].code, rows[0].reason);
  }
}

type ConnectionSeen = Parameters<typeof consume>[0];

function reasonFrom(code: string, reason: string): string {
  return code === "REFUSED" || code === "HANDLER_ERROR" ? reason : `${code}: ${reason}`;
}
