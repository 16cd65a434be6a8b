import { type ConfirmChannel, connect, type GetMessage } from "amqplib";
import { declareTopology } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import type { BrokerOptions, ChaosBroker, FinalState, Outgoing } from "./chaos-broker.ts";
import { RABBITMQ_TOPOLOGY } from "./rabbitmq-topology.ts";

const BROKER_LIMIT_MS = 30_000;

const SENT_SQL = "create table sent (message text primary key, claimant text not null, queue text not null)";

const UNSERVED_SQL = `
  select s.message from sent s
  where not exists (select from exclaim.dead_letters d where d.message_id = s.message)
    and case s.queue
      when 'pool' then not exists (select from exclaim.claims c where c.claimant = s.claimant and c.status = 'completed')
      else not exists (select from fenced_writes w where w.message = s.message and w.completes) end`;

export async function openRabbitmq(options: BrokerOptions): Promise<ChaosBroker> {
  const { url, queues, database } = options;
  const topologies = await stubbornly(url, async (channel) => [
    await declareTopology(channel, queues.pool, RABBITMQ_TOPOLOGY),
    await declareTopology(channel, queues.resource, RABBITMQ_TOPOLOGY),
  ]);
  await database.query(SENT_SQL);
  return new RabbitmqQueues(options, {
    waiting: topologies.flatMap(({ queue, delayQueues }) => [queue, ...delayQueues.map(({ name }) => name)]),
    dead: topologies.map(({ deadLetterQueue }) => deadLetterQueue),
  });
}

/**
 * RabbitMQ, which counts what waits and forgets what was acknowledged: so a message that is served is looked for in the database, and one
 * that is not there must be among the dead letters.
 */
class RabbitmqQueues implements ChaosBroker {
  readonly #options: BrokerOptions;
  readonly #names: { readonly waiting: readonly string[]; readonly dead: readonly string[] };

  constructor(options: BrokerOptions, names: { readonly waiting: readonly string[]; readonly dead: readonly string[] }) {
    this.#options = options;
    this.#names = names;
  }

  async send(messages: readonly Outgoing[]): Promise<void> {
    await this.#options.database.query(
      "insert into sent select * from unnest($1::text[], $2::text[], $3::text[]) on conflict do nothing",
      [messages.map(({ message }) => message), messages.map(({ claimant }) => claimant), messages.map(({ queue }) => queue)],
    );
    await this.#onChannel(async (channel) => {
      for (const { queue, attempts: _, ...data } of messages) {
        const options = { messageId: data.message, contentType: "application/json", persistent: true, mandatory: true };
        channel.publish("", this.#options.queues[queue], Buffer.from(JSON.stringify(data)), options);
      }
      await channel.waitForConfirms();
    });
  }

  async open(): Promise<number> {
    const { rowCount } = await this.#options.database.query(UNSERVED_SQL);
    return rowCount !== null && rowCount > 0 ? rowCount : this.#waiting();
  }

  /** What waits here cannot be told to come sooner. */
  async hurry(): Promise<void> {}

  async finalStates(): Promise<readonly FinalState[]> {
    const { rows } = await this.#options.database.query<{ message: string }>("select message from sent");
    const dead = await this.#takeAll(this.#names.dead);
    const waiting = await this.#takeAll(this.#names.waiting);
    const there = new Set([...dead, ...waiting]);
    return [
      ...dead.map((message) => ({ message, state: "dead-letter" as const })),
      ...waiting.map((message) => ({ message, state: "waiting" as const })),
      ...rows.filter(({ message }) => !there.has(message)).map(({ message }) => ({ message, state: "gone" as const })),
    ];
  }

  async close(): Promise<void> {
    await stubbornly(this.#options.url, async (channel) => {
      for (const queue of [...this.#names.waiting, ...this.#names.dead]) await channel.deleteQueue(queue);
    });
  }

  #waiting(): Promise<number> {
    return this.#onChannel(async (channel) => {
      let count = 0;
      for (const queue of this.#names.waiting) count += (await channel.checkQueue(queue)).messageCount;
      return count;
    });
  }

  #takeAll(queues: readonly string[]): Promise<string[]> {
    return stubbornly(this.#options.url, async (channel) => {
      const ids: string[] = [];
      for (const queue of queues) {
        for (;;) {
          // Not acknowledged: should the connection break, all of them are there again.
          const message: GetMessage | false = await channel.get(queue);
          if (message === false) break;
          ids.push(String(message.properties.messageId));
        }
        const { messageCount } = await channel.checkQueue(queue);
        if (messageCount > 0) throw new Error(`${messageCount} messages of ${queue} were not read`);
      }
      return ids;
    });
  }

  #onChannel<T>(use: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    return onChannel(this.#options.url, use);
  }
}

/** The same again from the start where its connection breaks: a broker that was just healed may still be about to close it. */
async function stubbornly<T>(url: string, use: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const { value } = await eventually(async () => ({ value: await onChannel(url, use) }), {
    timeoutMs: BROKER_LIMIT_MS,
    what: "what was asked of RabbitMQ",
  });
  return value;
}

/** Does something on a connection of its own. */
async function onChannel<T>(url: string, use: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(url);
  connection.on("error", () => {});
  try {
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => {});
    return await use(channel);
  } finally {
    await connection.close().catch(() => {});
  }
}
