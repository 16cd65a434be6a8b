/**
 * Messages to RabbitMQ by a confirm channel of amqplib, 1.2 or newer. amqplib itself is not imported: what is used of it is
 * `AmqpConfirmChannel`.
 *
 * A message is published as persistent JSON with its id as `messageId` and its topic as `type`. It counts as sent once the broker has
 * confirmed that very message without giving it back: RabbitMQ confirms what it has no queue for, too. RabbitMQ drops no second message
 * of an id; whoever receives it tells it by the id.
 */
import { ExclaimError } from "../errors.ts";
import { type AmqpConfirmChannel, type ChannelListener, watchOf } from "./amqplib-channel-watch.ts";
import { type Confirmation, Confirms } from "./amqplib-confirms.ts";
import { isNoJson, NOT_JSON, refused, whyIdRefused } from "./refusal.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "./target.ts";
import type { TargetOptions } from "./target-options.ts";
import { SEND_TIMEOUT_MS, silent, within } from "./within.ts";

export type { AmqpConfirmChannel };

export interface AmqplibTargetOptions extends Pick<TargetOptions, "queue" | "exchange" | "routingKey"> {
  /** How long the broker may confirm nothing, in ms, before messages count as not sent. A blocked connection waits for ever. @default 30_000 */
  readonly sendTimeoutMs?: number;
}

/** Measured with 130 bytes a message: 500 in flight are the fastest on a classic queue, and near it on a quorum queue. */
const CHUNK_SIZE = 500;
/** RabbitMQ 4 closes the channel over more, by default, and with it everything else on the channel. */
const MAX_CONTENT_BYTES = 16 * 1_024 * 1_024;
/** basic.publish in the name of what the broker closes a channel over. */
const BASIC_CLASS = 60;
const PUBLISH_METHOD = 40;
const NOT_FOUND = 404;

/**
 * Sends messages to a queue of RabbitMQ, or to an exchange.
 * Shape: `queue`, or `exchange` with the `routingKey` of every message, its topic unless said.
 * After `send`: what is answered `sent` is in a queue, as durably as that keeps messages. Refused alone are messages that no queue is
 * bound for, ids over 255 bytes, payloads that JSON cannot hold, and those of more than 16 MiB.
 * Died in between: any of them may be there; sent again, they are there twice, with the same `messageId`.
 * Throws CONFIG_INVALID: not a confirm channel, or not one of `queue` and `exchange`. `send` and `backlog` throw it when the broker has
 * no such exchange or queue: the broker has then closed the channel, and all that others do on it.
 */
export function amqplibTarget(channel: AmqpConfirmChannel, options: AmqplibTargetOptions): MessageTarget {
  assertConfirms(channel);
  const route = routeOf(options);
  const { queue, exchange, sendTimeoutMs = SEND_TIMEOUT_MS } = options;
  const name = queue !== undefined ? `RabbitMQ queue ${queue}` : `RabbitMQ exchange ${exchange}`;
  const target: MessageTarget = {
    name,
    chunkSize: CHUNK_SIZE,
    send: (messages) => new Sending(channel, { name, route, sendTimeoutMs }).send(messages),
  };
  if (queue === undefined) return target;
  return { ...target, backlog: () => countWaiting(channel, queue, { name, sendTimeoutMs }) };
}

interface Where {
  readonly name: string;
  readonly route: (message: OutgoingMessage) => Way;
  readonly sendTimeoutMs: number;
}

interface Way {
  readonly exchange: string;
  readonly routingKey: string;
}

/** One call of `send`. */
class Sending {
  readonly #channel: AmqpConfirmChannel;
  readonly #where: Where;
  readonly #confirms: Confirms;
  readonly #answers: SendAnswer[] = [];
  #nacks = 0;

  constructor(channel: AmqpConfirmChannel, where: Where) {
    this.#channel = channel;
    this.#where = where;
    this.#confirms = new Confirms((cause) => closedError(where.name, cause));
  }

  async send(messages: readonly OutgoingMessage[]): Promise<readonly SendAnswer[]> {
    const { name, sendTimeoutMs } = this.#where;
    const watch = watchOf(this.#channel);
    watch.join(this.#confirms);
    const stop = this.#confirms.expire(sendTimeoutMs, () => silent(name, sendTimeoutMs));
    try {
      for (const [index, message] of messages.entries()) {
        this.#answers[index] = this.#publish(message, index);
        if (!this.#confirms.hasRoom(CHUNK_SIZE)) await this.#confirms.room(CHUNK_SIZE);
        if (this.#confirms.failure !== undefined) throw this.#confirms.failure;
      }
      await this.#confirms.all();
    } finally {
      stop();
      watch.leave(this.#confirms);
    }
    if (this.#confirms.failure !== undefined) throw this.#confirms.failure;
    if (this.#nacks > 0) throw nackedError(name, this.#nacks, messages.length);
    return this.#answers;
  }

  /** `sent` stands until the broker says otherwise. */
  #publish(message: OutgoingMessage, index: number): SendAnswer {
    const content = contentOf(message);
    if (!Buffer.isBuffer(content)) return content;
    const { id, topic } = message;
    let way: Way;
    try {
      way = this.#where.route(message);
    } catch (cause) {
      return refused(message, `has no routing key: ${reasonOf(cause)}`, cause);
    }
    const settle = (confirmation: Confirmation): void => this.#settle(confirmation, message, { index, way });
    const properties = { messageId: id, type: topic, contentType: "application/json", persistent: true, mandatory: true };
    try {
      const callback = this.#confirms.callbackOf({ id, ...way }, settle);
      this.#confirms.published(this.#channel.publish(way.exchange, way.routingKey, content, properties, callback));
    } catch (cause) {
      // What amqplib throws over a property that it cannot write, before it sends anything.
      if (cause instanceof TypeError || cause instanceof RangeError) {
        return refused(message, `cannot be published: ${cause.message}`, cause);
      }
      this.#confirms.fail(closedError(this.#where.name, cause));
    }
    return "sent";
  }

  #settle(confirmation: Confirmation, message: OutgoingMessage, { index, way }: { index: number; way: Way }): void {
    if (confirmation === "nacked") this.#nacks += 1;
    if (confirmation !== "returned") return;
    const { exchange, routingKey } = way;
    const why =
      exchange === ""
        ? `went nowhere: there is no queue ${routingKey}; declare it before sending`
        : `went nowhere: no queue is bound to exchange ${exchange} for the routing key ${JSON.stringify(routingKey)}`;
    this.#answers[index] = refused(message, why);
  }
}

function contentOf(message: OutgoingMessage): Buffer | SendAnswer {
  const why = whyIdRefused(message.id);
  if (why !== undefined) return refused(message, why);
  if (isNoJson(message.payload)) return refused(message, NOT_JSON);
  try {
    // A `toJSON` may answer undefined, which `Buffer.from` throws over.
    const content = Buffer.from(JSON.stringify(message.payload));
    if (content.length <= MAX_CONTENT_BYTES) return content;
    return refused(message, `has a payload of ${content.length} bytes: RabbitMQ takes ${MAX_CONTENT_BYTES}`);
  } catch (cause) {
    return refused(message, NOT_JSON, cause);
  }
}

/**
 * How many messages wait in the queue.
 * Throws CONFIG_INVALID: there is no such queue, and the broker has closed the channel over the question; BROKER_UNREACHABLE.
 */
async function countWaiting(
  channel: AmqpConfirmChannel,
  queue: string,
  { name, sendTimeoutMs }: Pick<Where, "name" | "sendTimeoutMs">,
): Promise<number> {
  const watch = watchOf(channel);
  const listener: ChannelListener = { returned() {}, drained() {}, closed() {} };
  watch.join(listener);
  try {
    const { messageCount } = await within((async () => channel.checkQueue(queue))(), sendTimeoutMs, name);
    return messageCount;
  } catch (cause) {
    if (codeOf(cause) !== NOT_FOUND) throw closedError(name, cause);
    const how = "declare it before sending, and open a new channel: the broker has closed this one";
    throw new ExclaimError("CONFIG_INVALID", `${name} does not exist: ${how}`, { cause });
  } finally {
    watch.leave(listener);
  }
}

function assertConfirms(channel: AmqpConfirmChannel): void {
  if (typeof channel.publish === "function" && typeof channel.waitForConfirms === "function") return;
  throw new ExclaimError(
    "CONFIG_INVALID",
    "the channel does not confirm what it publishes: pass one that createConfirmChannel() returned",
  );
}

function routeOf({ queue, exchange, routingKey }: AmqplibTargetOptions): Where["route"] {
  if ((queue === undefined) === (exchange === undefined) || queue === "") {
    const what = "pass `queue`, the name of a queue, or else `exchange` with `routingKey`";
    throw new ExclaimError("CONFIG_INVALID", `it must be said where on RabbitMQ messages go: ${what}`);
  }
  if (exchange === undefined) {
    if (routingKey !== undefined)
      throw new ExclaimError("CONFIG_INVALID", "`routingKey` goes with `exchange`, not with `queue`");
    const way = { exchange: "", routingKey: queue ?? "" };
    return () => way;
  }
  if (typeof routingKey === "function") return (message) => ({ exchange, routingKey: routingKey(message) });
  return ({ topic }) => ({ exchange, routingKey: routingKey ?? topic });
}

function closedError(name: string, cause: unknown): ExclaimError {
  if (cause instanceof ExclaimError) return cause;
  const { classId, methodId } = (cause ?? {}) as { classId?: unknown; methodId?: unknown };
  const why = cause === undefined ? "its channel has closed" : reasonOf(cause);
  if (codeOf(cause) === NOT_FOUND && classId === BASIC_CLASS && methodId === PUBLISH_METHOD) {
    const how = "declare the exchange before sending, and open a new channel";
    return new ExclaimError("CONFIG_INVALID", `${name} does not exist (${why}): ${how}`, { cause });
  }
  const how = "some of them may have arrived; open a channel again, and send all again";
  return new ExclaimError("BROKER_UNREACHABLE", `${name} did not confirm messages (${why}): ${how}`, { cause });
}

function nackedError(name: string, nacks: number, all: number): ExclaimError {
  const why = "the queue is full and rejects, or its leader is away";
  return new ExclaimError("BROKER_UNREACHABLE", `${name} did not take ${nacks} of ${all} messages: ${why}; send all again`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null | undefined)?.code;
}
