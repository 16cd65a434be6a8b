import type { Channel, Message } from "amqplib";

/** How often a message was published, by its id, on any channel of any client: the adapter publishes copies on its own. */
const published = new Map<string, number>();
const counted = new WeakSet<object>();

/** Has `timesPublished` know what is published on channels of this kind, also on those that the adapter opens itself. */
export function countPublished(everyChannel: Pick<Channel, "publish">): void {
  if (counted.has(everyChannel)) return;
  counted.add(everyChannel);
  const { publish } = everyChannel;
  everyChannel.publish = function (this: Channel, exchange, routingKey, content, options) {
    const isWritten = publish.call(this, exchange, routingKey, content, options);
    const id = options?.messageId ?? "";
    published.set(id, (published.get(id) ?? 0) + 1);
    return isWritten;
  };
}

export function timesPublished(id: string): number {
  return published.get(id) ?? 0;
}

/** Sees what is delivered and acknowledged on channels, and changes nothing of it. */
export class ChannelWatch {
  /** Deliveries without an answer, by their channel and tag. */
  readonly #open = new Map<string, string>();
  readonly #acknowledged = new Map<string, number>();
  readonly #acks = new WeakMap<Channel, Channel["ack"]>();
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
        if (message !== null) this.#open.set(keyOf(message), message.properties.messageId);
        onMessage(message);
      };
      return consume.call(channel, queue, seen, options);
    };
    channel.ack = (message, allUpTo) => {
      ack.call(channel, message, allUpTo);
      this.#open.delete(keyOf(message));
      const id: string = message.properties.messageId;
      this.#acknowledged.set(id, (this.#acknowledged.get(id) ?? 0) + 1);
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

  /** Whether so many deliveries of a message were acknowledged, and none is without an answer. */
  isDone(id: string, times: number): boolean {
    return (this.#acknowledged.get(id) ?? 0) >= times && ![...this.#open.values()].includes(id);
  }
}
