import { type Channel, connect, type Message, type RecoveringChannelModel } from "amqplib";
import pg from "pg";
import { createExclaim, type Exclaim, type ExclaimError } from "../../src/index.ts";
import { type AmqpDelivery, type Consumer, consume, declareTopology } from "../../src/queue/amqplib.ts";
import { delayQueueOf } from "../../src/queue/amqplib-topology.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { TABLES_SQL, violations } from "./audit.sql.ts";
import type { SignUp } from "./broker.ts";
import { RabbitmqMessages, withChannel } from "./rabbitmq-messages.ts";
import { RABBITMQ_OPTIONS } from "./rabbitmq-pod.ts";
import { seeded, signUpService, VOUCHER_POOL, type Voucher } from "./sign-up-service.ts";

export interface RushOptions {
  /** A server that answers whenever the test looks. */
  readonly url: string;
  /** Where the consumers connect, each on its own. */
  readonly consumerUrls: readonly string[];
  readonly queue: string;
  readonly users: number;
  readonly vouchers: number;
  readonly seed: number;
}

const TTL_MS = 5_000;
const CONCURRENCY = 50;
const DATABASE_CONNECTIONS = 16;
const END_LIMIT_MS = 90_000;
const RETRY_WAIT_MS = 100;
/** A delivery tag that no channel gets to here. */
const NEVER_DELIVERED = 1_000_000;

/** How long a handler thinks at most; and a slow one, of which there is one in a hundred. */
const THINK_MS = 120;
const SLOW_MS = 500;

/**
 * A queue of RabbitMQ full of sign-ups, one a user, and consumers in this process that serve them while a test breaks what it likes.
 * What a test wants to know of its faults is counted here; what came of the messages, told by the database and the broker alone.
 */
export class SignUpRush {
  readonly messages: RabbitmqMessages;
  /** Connections that were lost, and those that came back. */
  disconnects = 0;
  reconnects = 0;
  /** Consumers that the broker cancelled. */
  cancels = 0;
  /** Handlers that have completed their claim. */
  completions = 0;
  /** Ids of messages that came again after the broker had taken them from a consumer. */
  readonly redelivered = new Set<string>();
  /** Channels that the test made the broker close, and all that it closed for a fault of protocol. */
  broken = 0;
  refused = 0;
  /** What the consumers reported. */
  readonly reports: ExclaimError[] = [];

  readonly #options: RushOptions;
  readonly #database: FreshDatabase;
  readonly #working: pg.Pool;
  readonly #exclaim: Exclaim;
  readonly #connections: RecoveringChannelModel[] = [];
  readonly #consumers: Consumer[] = [];
  /** Those that are open. */
  readonly #channels = new Set<Channel>();
  /** Ids of messages that were delivered and whose handler has not ended. */
  readonly #inHand = new Set<string>();
  /** When a handler last failed, by the message's id. */
  readonly #failedAt = new Map<string, number>();

  /** The tables, the vouchers, the queue and all messages, before anybody consumes. */
  static async fill(options: RushOptions): Promise<SignUpRush> {
    const database = await freshDatabase();
    const rush = new SignUpRush(options, database);
    await rush.#exclaim.migrate();
    await database.pool.query(TABLES_SQL);
    await database.pool.query("insert into voucher_item (id, code) select i, 'CODE-' || i from generate_series(1, $1::int) i", [
      options.vouchers,
    ]);
    // On a cluster, the queues' leaders are where they are declared.
    const [firstUrl = options.url] = options.consumerUrls;
    await withChannel(firstUrl, (channel) => declareTopology(channel, options.queue, RABBITMQ_OPTIONS));
    await rush.messages.send(Array.from({ length: options.users }, (_, index) => index + 1));
    return rush;
  }

  private constructor(options: RushOptions, database: FreshDatabase) {
    this.#options = options;
    this.#database = database;
    this.#working = new pg.Pool({ connectionString: database.url, max: DATABASE_CONNECTIONS });
    this.#exclaim = createExclaim({ database: this.#working, ttlMs: TTL_MS });
    this.messages = new RabbitmqMessages(options.url, options.queue, database.pool);
  }

  async startConsumers(): Promise<void> {
    const chance = seeded(this.#options.seed);
    const thinkMs = (): number => chance() * THINK_MS + (chance() < 0.01 ? SLOW_MS : 0);
    const service = signUpService(this.#exclaim.pool<Voucher>(VOUCHER_POOL), chance, thinkMs);
    for (const url of this.#options.consumerUrls) {
      const connection = await connect(url, { recovery: { initialDelay: 50, maxDelay: 500 } });
      this.#connections.push(connection);
      connection.on("disconnect", () => {
        this.disconnects += 1;
      });
      connection.on("connect", () => {
        this.reconnects += 1;
      });
      const consumer = await consume<SignUp, unknown, Voucher>(
        this.#watched(connection),
        this.#options.queue,
        (message, claim) => this.#counted(message, () => service.handler(message, claim)),
        {
          ...service.options,
          ...RABBITMQ_OPTIONS,
          claimant: (message) => {
            if (message.fields.redelivered) this.redelivered.add(idOf(message));
            this.#inHand.add(idOf(message));
            return service.options.claimant(message);
          },
          concurrency: CONCURRENCY,
          onCancelled: () => {
            this.cancels += 1;
          },
          onError: (error) => this.reports.push(error),
        },
      );
      this.#consumers.push(consumer);
    }
  }

  /** Waits until so many handlers have completed their claims. */
  async untilCompleted(count: number): Promise<void> {
    await eventually(() => this.completions >= count, { timeoutMs: END_LIMIT_MS, what: `${count} completed claims` });
  }

  /** Waits until so many connections have been lost, each as often as it was. */
  async untilDisconnected(count: number): Promise<void> {
    await eventually(() => this.disconnects >= count, { timeoutMs: 20_000, what: `${count} lost connections` });
  }

  /** Waits until so many connections have come back, each as often as it did. */
  async untilReconnected(count: number): Promise<void> {
    await eventually(() => this.reconnects >= count, { timeoutMs: 20_000, what: `${count} connections that came back` });
  }

  /** Makes the broker close the channels that the consumers use now, by a fault of protocol that it does not forgive. */
  breakChannels(): void {
    for (const channel of this.#channels) {
      this.#channels.delete(channel);
      this.broken += 1;
      channel.ack({ fields: { deliveryTag: NEVER_DELIVERED } } as Message);
    }
  }

  /** Deletes the work queue with all that is in it. Returns the ids of the messages that are still the consumers' to bring to an end. */
  async deleteQueue(): Promise<string[]> {
    await withChannel(this.#options.url, (channel) => channel.deleteQueue(this.#options.queue));
    // Those that have just failed: their copies must still wait for the next attempt.
    const since = performance.now() - RETRY_WAIT_MS / 2;
    const waiting = [...this.#failedAt].filter(([, at]) => at > since).map(([id]) => id);
    return [...new Set([...this.#inHand, ...waiting])];
  }

  /** Deletes the queue where messages wait that have failed, with all that is in it. Returns the ids of those in the consumers' hands. */
  async deleteRetryQueue(): Promise<string[]> {
    const { name } = delayQueueOf(this.#options.queue, RETRY_WAIT_MS, "quorum");
    await withChannel(this.#options.url, (channel) => channel.deleteQueue(name));
    return [...this.#inHand];
  }

  /** Waits until all of these messages have ended. */
  async untilEndedAll(ids: readonly string[]): Promise<void> {
    await eventually(
      async () => {
        const unended = new Set(await this.messages.unended());
        const open = ids.filter((id) => unended.has(id));
        if (open.length > 0) throw new Error(`${open.length} of ${ids.length} have not: ${open.slice(0, 5).join(", ")}`);
      },
      { timeoutMs: END_LIMIT_MS, what: `the end of ${ids.length} messages` },
    );
  }

  /** Waits until every message has ended. */
  async untilEnded(): Promise<void> {
    const { users } = this.#options;
    await eventually(
      async () => {
        const ended = await this.messages.ended();
        if (ended < users) throw new Error(`${ended} of ${users} messages have ended`);
      },
      { timeoutMs: END_LIMIT_MS, what: "the end of all messages" },
    );
  }

  /** Closes the consumers, and tells what came of everything. */
  async verdict() {
    await this.#stop();
    const { refused, ...account } = await this.messages.account();
    const told = new Set(refused.map(({ userId }) => userId));
    const { rows } = await this.#database.pool.query(
      `select
        (select count(*)::int from voucher_item where user_id is null) as free,
        (select count(*)::int from exclaim.claims where status = 'completed') as served,
        (select count(*)::int from exclaim.claims where status in ('held', 'failed')) as unfinished,
        array(select u::int from generate_series(1, $1::int) u
          where not exists (select from redemption r where r.user_id = u)) as unserved`,
      [this.#options.users],
    );
    const { free, served, unfinished, unserved } = rows[0];
    return {
      ...account,
      violations: await violations(this.#database.pool),
      otherReasons: refused.map(({ reason }) => reason).filter((reason) => !reason.includes("no vouchers left")),
      free,
      served,
      unfinished,
      unserved: unserved.length,
      unservedAndNotTold: unserved.filter((user: number) => !told.has(user)).length,
    };
  }

  async end(): Promise<void> {
    await this.#stop();
    await this.#database.drop();
  }

  async #stop(): Promise<void> {
    const closing = this.#consumers.splice(0).map((consumer) => consumer.close());
    await this.#exclaim.close({ drainMs: 5_000 });
    await Promise.all(closing);
    await Promise.all(this.#connections.splice(0).map((connection) => connection.close()));
    if (!this.#working.ended) await this.#working.end();
  }

  async #counted(message: AmqpDelivery<SignUp>, serve: () => Promise<unknown>): Promise<unknown> {
    const id = idOf(message);
    try {
      const result = await serve();
      this.completions += 1;
      return result;
    } catch (error) {
      this.#failedAt.set(id, performance.now());
      throw error;
    } finally {
      this.#inHand.delete(id);
    }
  }

  /** The connection as it is, with its channels known to the test. */
  #watched(connection: RecoveringChannelModel) {
    return {
      createChannel: async () => {
        const channel = await connection.createChannel();
        this.#channels.add(channel);
        channel.on("close", () => this.#channels.delete(channel));
        channel.on("error", () => {
          this.refused += 1;
        });
        return channel;
      },
      on: (event: "error", listener: (error: Error) => void) => connection.on(event, listener),
      removeListener: (event: "error", listener: (error: Error) => void) => connection.removeListener(event, listener),
    };
  }
}

function idOf(message: AmqpDelivery<SignUp>): string {
  return String(message.properties.messageId);
}
