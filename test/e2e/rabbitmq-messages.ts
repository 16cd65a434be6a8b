import { setTimeout as delay } from "node:timers/promises";
import { type ConfirmChannel, connect, type GetMessage } from "amqplib";
import type pg from "pg";
import { delayQueueOf } from "../../src/queue/amqplib-topology.ts";
import type { Account, SignUp } from "./broker.ts";
import { RABBITMQ_OPTIONS } from "./rabbitmq-pod.ts";

/** Confirms are awaited for so many messages at a time. */
const CHUNK = 500;

/** How often, and how far apart, the queues must be found empty before they are. */
const LOOKS = 4;
const LOOK_INTERVAL_MS = 100;

/** Which message was sent for whom, so that one that has vanished is missed. */
const SENT_SQL = "create table sent (message_id text primary key, user_id bigint not null)";

/** Does something as a stranger, on a connection of its own. */
export async function withChannel<T>(url: string, use: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(url);
  connection.on("error", () => {});
  try {
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => {});
    return await use(channel);
  } finally {
    await connection.close();
  }
}

/**
 * The sign-ups of one queue of RabbitMQ, and what has become of each.
 *
 * The broker counts what waits and forgets what was acknowledged; and it may have a message twice, after an ack was lost or a process died
 * between a copy and its ack. So each message that was sent is looked for by its id: it has ended when its user's claim is completed, or
 * when it is in the queue of dead letters; and nothing may wait any more.
 */
export class RabbitmqMessages {
  readonly #url: string;
  readonly #queue: string;
  readonly #database: pg.Pool;
  #sent = 0;

  /** `url`: of a server that answers whenever something is asked here. */
  constructor(url: string, queue: string, database: pg.Pool) {
    this.#url = url;
    this.#queue = queue;
    this.#database = database;
  }

  /** Sends the messages m-0, m-1, ... Resolves once the broker has confirmed them all, and none was unroutable. */
  async send(users: readonly number[]): Promise<void> {
    await this.#database.query(SENT_SQL);
    await this.#database.query(
      "insert into sent select 'm-' || (i - 1), user_id from unnest($1::bigint[]) with ordinality u (user_id, i)",
      [users],
    );
    await this.#publish(users.map((user_id, index) => ({ id: `m-${index}`, data: { user_id } })));
    this.#sent = users.length;
  }

  /** Sends those once more that have not ended, as an import does that begins again. Returns how many. */
  async sendAgain(): Promise<number> {
    const ids = await this.unended();
    const { rows } = await this.#database.query("select message_id, user_id::int from sent where message_id = any ($1)", [ids]);
    await this.#publish(rows.map(({ message_id, user_id }) => ({ id: message_id, data: { user_id } })));
    return rows.length;
  }

  /** The ids of the messages whose user has no voucher and was not refused either. */
  async unended(): Promise<string[]> {
    const { rows } = await this.#database.query(
      `select message_id from sent s
      where not exists (select from exclaim.claims c where c.claimant = s.user_id::text and c.status = 'completed')
        and not exists (select from exclaim.dead_letters d where d.queue = $1 and d.message_id = s.message_id)`,
      [this.#queue],
    );
    return rows.map(({ message_id }) => message_id);
  }

  /** How many messages have ended. */
  async ended(): Promise<number> {
    const { length: open } = await this.unended();
    if (open > 0) return this.#sent - open;
    // What a consumer has in its hands is not among those that wait: only for a moment, as each is a replay now.
    for (let look = 1; look <= LOOKS; look += 1) {
      const waiting = await this.waiting();
      if (waiting > 0) return Math.max(0, this.#sent - waiting);
      await delay(LOOK_INTERVAL_MS);
    }
    return this.#sent;
  }

  /** What came of the messages, once nobody consumes. The dead letters are taken off their queue. */
  async account(): Promise<Account> {
    const left = await this.waiting();
    const dead = await this.#takeDeadLetters();
    const { rows } = await this.#database.query(
      `select s.message_id, s.user_id::int, d.reason, exists (
        select from exclaim.claims c where c.claimant = s.user_id::text and c.status = 'completed') as served
      from sent s left join exclaim.dead_letters d on d.queue = $1 and d.message_id = s.message_id`,
      [this.#queue],
    );
    const sent = new Map(rows.map((row) => [row.message_id as string, row]));
    const ids = dead.map((message) => String(message.properties.messageId));
    const isDead = new Set(ids);
    return {
      left,
      ended: rows.filter(({ served, message_id }) => served || isDead.has(message_id)).length,
      refused: ids.map((id) => ({
        userId: sent.get(id)?.user_id ?? 0,
        reason: sent.get(id)?.reason ?? `${id} is dead-lettered and no reason is recorded`,
      })),
    };
  }

  async #publish(messages: readonly { id: string; data: SignUp }[]): Promise<void> {
    await withChannel(this.#url, async (channel) => {
      const unroutable: unknown[] = [];
      channel.on("return", (message: GetMessage) => unroutable.push(message.properties.messageId));
      for (let start = 0; start < messages.length; start += CHUNK) {
        for (const { id, data } of messages.slice(start, start + CHUNK)) {
          const options = { messageId: id, contentType: "application/json", persistent: true, mandatory: true };
          channel.publish("", this.#queue, Buffer.from(JSON.stringify(data)), options);
        }
        await channel.waitForConfirms();
      }
      if (unroutable.length > 0) throw new Error(`${unroutable.length} messages had no queue to go to`);
    });
  }

  /** How many messages wait in the queue and its delay queues. */
  waiting(): Promise<number> {
    return withChannel(this.#url, async (channel) => {
      let count = 0;
      const queues = RABBITMQ_OPTIONS.delaysMs.map((delayMs) => delayQueueOf(this.#queue, delayMs, "quorum").name);
      for (const queue of [this.#queue, ...queues]) count += (await channel.checkQueue(queue)).messageCount;
      return count;
    });
  }

  #takeDeadLetters(): Promise<GetMessage[]> {
    return withChannel(this.#url, async (channel) => {
      const messages: GetMessage[] = [];
      for (;;) {
        const message = await channel.get(`${this.#queue}.dead`, { noAck: true });
        if (message === false) return messages;
        messages.push(message);
      }
    });
  }
}
