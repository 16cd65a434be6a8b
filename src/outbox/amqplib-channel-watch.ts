/** Properties of a message as `publish` takes them. */
export interface AmqpMessageProperties {
  messageId?: string;
  type?: string;
  contentType?: string;
  persistent?: boolean;
  mandatory?: boolean;
}

/** What is used of amqplib's `ConfirmChannel`. */
export interface AmqpConfirmChannel {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options?: AmqpMessageProperties,
    callback?: (error: unknown) => void,
  ): boolean;
  waitForConfirms(): Promise<unknown>;
  checkQueue(queue: string): Promise<{ readonly messageCount: number }>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  removeListener(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** A message that the broker gave back, since no queue is bound for it. */
export interface ReturnedMessage {
  readonly fields: { readonly exchange: string; readonly routingKey: string; readonly replyText?: string };
  readonly properties: { readonly messageId?: unknown };
}

/** Told what happens on the channel while it waits. */
export interface ChannelListener {
  returned(message: ReturnedMessage): void;
  drained(): void;
  /** `cause`: what the broker said, when it was the broker. */
  closed(cause: Error | undefined): void;
}

/**
 * The events of one channel for all who send on it. It listens only while somebody waits, so that a caller's channel keeps no listener
 * of ours, and its `error` is then the caller's again.
 */
export class ChannelWatch {
  readonly #channel: AmqpConfirmChannel;
  readonly #waiting = new Set<ChannelListener>();
  #cause: Error | undefined;
  readonly #listeners: readonly (readonly [event: string, listen: (...args: unknown[]) => void])[] = [
    ["return", (message) => this.#tell((waiting) => waiting.returned(message as ReturnedMessage))],
    ["drain", () => this.#tell((waiting) => waiting.drained())],
    ["close", () => this.#tell((waiting) => waiting.closed(this.#cause))],
    // Without a listener it would end the process. It comes right before `close`.
    [
      "error",
      (error) => {
        this.#cause = error as Error;
      },
    ],
  ];

  constructor(channel: AmqpConfirmChannel) {
    this.#channel = channel;
  }

  join(listener: ChannelListener): void {
    if (this.#waiting.size === 0) for (const [event, listen] of this.#listeners) this.#channel.on(event, listen);
    this.#waiting.add(listener);
  }

  leave(listener: ChannelListener): void {
    this.#waiting.delete(listener);
    if (this.#waiting.size === 0) for (const [event, listen] of this.#listeners) this.#channel.removeListener(event, listen);
  }

  #tell(tell: (waiting: ChannelListener) => void): void {
    for (const waiting of [...this.#waiting]) tell(waiting);
  }
}

const WATCHES = new WeakMap<AmqpConfirmChannel, ChannelWatch>();

/** The one watch of a channel, however many targets use it. */
export function watchOf(channel: AmqpConfirmChannel): ChannelWatch {
  let watch = WATCHES.get(channel);
  if (watch === undefined) {
    watch = new ChannelWatch(channel);
    WATCHES.set(channel, watch);
  }
  return watch;
}
