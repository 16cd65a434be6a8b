import { ExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpMessage } from "./amqplib-channel.ts";
import { type Counts, detourCopy, serialOf } from "./amqplib-detour.ts";
import { type ConfirmingChannel, openConfirmingSibling } from "./amqplib-sibling.ts";
import { delayQueueOf, type QueueType } from "./amqplib-topology.ts";

/** A copy that the broker could not route is published once more after its delay queue was declared anew. */
const PUBLISH_TRIES = 2;

export interface DelayLineOptions {
  readonly queueType: QueueType;
  readonly delaysMs: readonly number[];
}

/**
 * Where messages wait that are put off: delay queues, one for each step of delay, since messages of one queue expire in their order only.
 * Copies are published on a channel of our own, which confirms. The delay queues are declared on first use.
 */
export class DelayLine {
  readonly #channel: AmqpChannel;
  readonly #options: DelayLineOptions;
  /** In ascending order. */
  readonly #stepsMs: readonly number[];
  #publisher: Promise<Publisher> | undefined;
  #serial = 0;
  #isClosed = false;

  constructor(channel: AmqpChannel, options: DelayLineOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#stepsMs = [...options.delaysMs].sort((a, b) => a - b);
  }

  /** Whether a queue of that name is one in which messages of `queue` wait. */
  isDelayQueue(queue: string, name: string): boolean {
    return name.startsWith(delayQueueOf(queue, 0, this.#options.queueType).name.slice(0, -1));
  }

  /**
   * Publishes a copy that comes back to `queue` after `delayMs`, rounded up to the next step; a longer delay than the longest step takes
   * that one, and whoever gets it then puts it off again.
   * After: the broker has the copy; the message itself is the caller's to settle.
   * Died in between: there are two, which one claim tells apart from two claimants.
   * Throws when nobody knows whether the broker has it, or has it not.
   */
  async putOff(message: AmqpMessage, queue: string, delayMs: number, counts: Counts): Promise<void> {
    const stepMs = this.#stepsMs.find((step) => step >= delayMs) ?? this.#stepsMs.at(-1) ?? 0;
    const delayQueue = delayQueueOf(queue, stepMs, this.#options.queueType);
    this.#serial += 1;
    const serial = this.#serial;
    const options = detourCopy(message, counts, serial);
    for (let tries = 1; tries <= PUBLISH_TRIES; tries += 1) {
      const publisher = await this.#open();
      await publisher.declare(delayQueue.name, () => publisher.channel.assertQueue(delayQueue.name, delayQueue.options));
      await publisher.channel.confirm("", delayQueue.name, message.content, options);
      if (!publisher.returned.delete(serial)) return;
      publisher.forget(delayQueue.name);
    }
    throw new ExclaimError("CONFIG_INVALID", `the delay queue ${delayQueue.name} was declared and yet cannot be reached`);
  }

  close(): void {
    this.#isClosed = true;
    this.#publisher?.then(({ channel }) => channel.close()).catch(() => {});
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

/** The channel, the queues it knows to be there, and the copies that the broker gave back. */
class Publisher {
  readonly channel: ConfirmingChannel;
  /** Serials. The broker gives a copy back before it confirms it. */
  readonly returned = new Set<number>();
  readonly #declared = new Map<string, Promise<unknown>>();

  constructor(channel: ConfirmingChannel) {
    this.channel = channel;
    channel.on("return", ({ properties }) => {
      const serial = serialOf(properties);
      if (serial !== undefined) this.returned.add(serial);
    });
  }

  declare(name: string, assert: () => Promise<unknown>): Promise<unknown> {
    const known = this.#declared.get(name);
    if (known !== undefined) return known;
    const declaring = assert();
    this.#declared.set(name, declaring);
    return declaring;
  }

  forget(name: string): void {
    this.#declared.delete(name);
  }
}
