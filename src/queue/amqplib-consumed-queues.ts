import { ExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpFields } from "./amqplib-channel.ts";
import { type BeforeConsuming, type OnMessage, watchConsume } from "./amqplib-watch-consume.ts";

/** The queues that a callback consumes on its channel. A delivery itself does not say which queue it comes from. */
export class ConsumedQueues {
  readonly #channel: AmqpChannel;
  readonly #queues = new Map<string, string>();
  readonly #otherwise: string | undefined;

  /** `otherwise`: the queue of a delivery whose consumer was started out of our sight, if the user said. */
  constructor(channel: AmqpChannel, otherwise: string | undefined) {
    this.#channel = channel;
    this.#otherwise = otherwise;
  }

  /** Has `before` asked when `callback` is about to consume a queue; what it throws is what `channel.consume` throws. */
  watch(callback: OnMessage, before: BeforeConsuming): void {
    watchConsume(this.#channel, callback, async (queue, options) => {
      await before(queue, options);
      this.#queues.set(options.consumerTag, queue);
    });
  }

  /** Whether our channel is the one that delivered: on any other, the delivery's tag is somebody else's. */
  isDeliveredHere({ consumerTag }: AmqpFields): boolean {
    const { consumers } = this.#channel as { readonly consumers?: unknown };
    return this.#queues.has(consumerTag) || !(consumers instanceof Map) || consumers.has(consumerTag);
  }

  /** The queue that a message was delivered from. Throws CONFIG_INVALID: nobody knows. */
  queueOf({ consumerTag, exchange, routingKey }: AmqpFields): string {
    const known = this.#queues.get(consumerTag) ?? this.#otherwise;
    if (known !== undefined) return known;
    // The default exchange has one binding for each queue, named as the queue.
    if (exchange === "") return routingKey;
    throw new ExclaimError(
      "CONFIG_INVALID",
      "it is not known which queue the message comes from: give channel.consume what withClaim returned, or set `queue`",
    );
  }
}
