import { ExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpMessage, AmqpPublishOptions } from "./amqplib-channel.ts";
import { closeChannel } from "./amqplib-close-channel.ts";
import { detourCopy, type Journey, restoredCopy, serialOf } from "./amqplib-detour.ts";
import { headersFit } from "./amqplib-header-size.ts";
import { OwnChannel } from "./amqplib-own-channel.ts";
import { type ConfirmingChannel, openConfirmingSibling } from "./amqplib-sibling.ts";
import { type DelayQueue, delayQueueOf, type QueueType } from "./amqplib-topology.ts";
import { messageOf } from "./message-of.ts";

/** A copy that the broker could not route is published once more after its delay queue was declared anew. */
const PUBLISH_TRIES = 2;

/** What a copy is to carry on. */
export type Onward = Omit<Journey, "restMs" | "isDetoured">;

/** By so much a wait may be longer than asked for, to spare the message another turn. */
const MAX_LATENESS = 1.25;

export interface DelayLineOptions {
  readonly queueType: QueueType;
  readonly delaysMs: readonly number[];
}

/**
 * Where messages wait that are put off: delay queues, one for each step of delay, since messages of one queue expire in their order only.
 * Copies are published on a channel of our own, which confirms. The delay queues are declared on first use, on another, since the broker
 * closes a channel over a declaration that it refuses.
 */
export class DelayLine {
  readonly #channel: AmqpChannel;
  readonly #queueType: QueueType;
  /** In ascending order. */
  readonly #stepsMs: readonly number[];
  readonly #declarer: OwnChannel;
  /** The last declaration: one is asked at a time. */
  #declaring: Promise<unknown> = Promise.resolve();
  readonly #declared = new Map<string, Promise<unknown>>();
  #publisher: Promise<Publisher> | undefined;
  #serial = 0;
  #isClosed = false;

  constructor(channel: AmqpChannel, { queueType, delaysMs }: DelayLineOptions) {
    this.#channel = channel;
    this.#queueType = queueType;
    this.#stepsMs = [...delaysMs].sort((a, b) => a - b);
    this.#declarer = new OwnChannel(channel);
  }

  /** Whether a queue of that name is one in which messages of `queue` wait. */
  isDelayQueue(queue: string, name: string): boolean {
    return name.startsWith(delayQueueOf(queue, 0, this.#queueType).name.slice(0, -1));
  }

  /**
   * Publishes a copy that comes back to `queue` after `delayMs`, or as much of it as one step is: then the copy carries the rest, for which
   * it is to be put off again.
   * After: the broker has the copy; the message itself is the caller's to settle.
   * Died in between: there are two, which one claim tells apart from two claimants.
   * Throws MESSAGE_INVALID: no copy of this message can be published; else what keeps the broker from having it, or from saying so.
   */
  async putOff(message: AmqpMessage, queue: string, delayMs: number, journey: Onward): Promise<void> {
    const stepMs = this.#stepFor(delayMs);
    const delayQueue = delayQueueOf(queue, stepMs, this.#queueType);
    const onItsWay = { ...journey, restMs: Math.max(0, delayMs - stepMs) };
    for (let tries = 1; tries <= PUBLISH_TRIES; tries += 1) {
      await this.#declare(delayQueue);
      this.#serial += 1;
      const serial = this.#serial;
      const publisher = await this.#open();
      const target = { exchange: "", routingKey: delayQueue.name };
      await this.#confirm(publisher, target, message, detourCopy(message, onItsWay, serial));
      if (!publisher.returned.delete(serial)) return;
      this.#declared.delete(delayQueue.name);
    }
    throw new ExclaimError("CONFIG_INVALID", `the delay queue ${delayQueue.name} was declared and yet cannot be reached`);
  }

  /**
   * Publishes the message as it once was to an exchange, by its own routing key.
   * After: the broker has it, or has dropped it for want of a queue, as it does with dead letters. Throws as `putOff` does.
   */
  async sendOn(message: AmqpMessage, exchange: string): Promise<void> {
    const publisher = await this.#open();
    await this.#confirm(publisher, { exchange, routingKey: message.fields.routingKey }, message, restoredCopy(message));
  }

  /** The next longer step where that is not much longer; else the longest that is not too long, or the shortest. */
  #stepFor(delayMs: number): number {
    const next = this.#stepsMs.find((stepMs) => stepMs >= delayMs && stepMs <= delayMs * MAX_LATENESS);
    return next ?? this.#stepsMs.findLast((stepMs) => stepMs <= delayMs) ?? this.#stepsMs[0] ?? 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#publisher?.then(({ channel }) => closeChannel(channel)).catch(() => {});
    void this.#declarer.close();
  }

  async #confirm(
    { channel }: Publisher,
    { exchange, routingKey }: { readonly exchange: string; readonly routingKey: string },
    { content }: AmqpMessage,
    copy: AmqpPublishOptions,
  ): Promise<void> {
    const { connection } = this.#channel as { readonly connection?: { readonly frameMax?: number } };
    if (!headersFit(copy, connection?.frameMax)) {
      throw new ExclaimError(
        "MESSAGE_INVALID",
        "the message cannot be put off: with its headers, a copy does not fit into a frame",
      );
    }
    try {
      await channel.confirm(exchange, routingKey, content, copy);
    } catch (cause) {
      // What amqplib throws before it sends anything: a header of a kind that it reads and cannot write.
      if (!(cause instanceof TypeError || cause instanceof RangeError)) throw cause;
      throw new ExclaimError("MESSAGE_INVALID", `the message cannot be put off: ${messageOf(cause)}`, { cause });
    }
  }

  #declare({ name, options }: DelayQueue): Promise<unknown> {
    const known = this.#declared.get(name);
    if (known !== undefined) return known;
    const declaring = this.#declaring.then(() => this.#declarer.ask((channel) => channel.assertQueue(name, options)));
    this.#declaring = declaring.catch(() => {});
    this.#declared.set(name, declaring);
    declaring.catch(() => this.#declared.delete(name));
    return declaring;
  }

  /** The publishing channel, a new one after the last has closed. */
  #open(): Promise<Publisher> {
    if (this.#isClosed) throw new ExclaimError("CLOSED", "the channel has closed");
    if (this.#publisher !== undefined) return this.#publisher;
    const forget = (): void => {
      if (this.#publisher === opening) this.#publisher = undefined;
    };
    const opening = openConfirmingSibling(this.#channel).then((channel) => {
      channel.on("close", forget);
      return new Publisher(channel);
    });
    opening.catch(forget);
    this.#publisher = opening;
    return opening;
  }
}

/** The channel that publishes, and the copies that the broker gave back. */
class Publisher {
  readonly channel: ConfirmingChannel;
  /** Serials. The broker gives a copy back before it confirms it. */
  readonly returned = new Set<number>();

  constructor(channel: ConfirmingChannel) {
    this.channel = channel;
    channel.on("return", ({ properties }) => {
      const serial = serialOf(properties);
      if (serial !== undefined) this.returned.add(serial);
    });
  }
}
