import { ExclaimError } from "../errors.ts";
import type { AmqpChannel } from "./amqplib-channel.ts";

/** One delivery that is not settled yet. */
export interface OpenDelivery {
  /** Aborts when the channel closes or the broker cancels the consumer. */
  readonly signal: AbortSignal;
  /** Why the broker will deliver the message again, whatever comes of this delivery, once that is so. */
  loss(): ExclaimError | undefined;
  /** Resolves after `delayMs`, or sooner when the channel has closed or `flush` was called. */
  rest(delayMs: number): Promise<void>;
  /** The delivery is settled, or nobody can settle it any more. */
  end(): void;
}

/**
 * The deliveries of one channel that are not settled, and what ends them all: with its channel a delivery's tag means nothing any more,
 * and the broker delivers the message again.
 */
export class Deliveries {
  readonly #open = new Map<AbortController, string>();
  readonly #resting = new Set<() => void>();
  readonly #waiting: (() => void)[] = [];
  #isFlushing = false;
  #isGone = false;

  constructor(channel: AmqpChannel) {
    channel.on("close", () => {
      this.#isGone = true;
      this.#abort(() => true, "the channel has closed: RabbitMQ delivers the message again");
      this.#wakeAll();
    });
    channel.on("cancel", ({ consumerTag }) => {
      const message = `RabbitMQ has cancelled the consumer ${consumerTag}: its queue was deleted, or its time was over`;
      this.#abort((tag) => tag === consumerTag, message);
    });
  }

  /** The channel has closed: there is nothing left to settle on. */
  get isGone(): boolean {
    return this.#isGone;
  }

  begin(consumerTag: string): OpenDelivery {
    const controller = new AbortController();
    this.#open.set(controller, consumerTag);
    return {
      signal: controller.signal,
      loss: () => (controller.signal.aborted ? (controller.signal.reason as ExclaimError) : undefined),
      rest: (delayMs) => this.#rest(delayMs),
      end: () => {
        this.#open.delete(controller);
        if (this.#open.size === 0) for (const wake of this.#waiting.splice(0)) wake();
      },
    };
  }

  /** Lets no delivery rest any longer. */
  flush(): void {
    this.#isFlushing = true;
    this.#wakeAll();
  }

  /** Resolves once no delivery is open. */
  idle(): Promise<void> {
    return this.#open.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #abort(concerns: (consumerTag: string) => boolean, message: string): void {
    for (const [controller, tag] of this.#open) {
      if (concerns(tag)) controller.abort(new ExclaimError("ABORTED", message));
    }
  }

  #rest(delayMs: number): Promise<void> {
    if (this.#isGone || this.#isFlushing) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#resting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, delayMs);
      this.#resting.add(wake);
    });
  }

  #wakeAll(): void {
    for (const wake of [...this.#resting]) wake();
  }
}
