import { ExclaimError } from "../errors.ts";
import type { AmqpChannel } from "./amqplib-channel.ts";

/** One delivery that is not settled yet. */
export interface OpenDelivery {
  /** Aborts when the channel closes or the broker cancels the consumer. */
  readonly signal: AbortSignal;
  /** Why the broker will deliver the message again, whatever comes of this delivery, once that is so. */
  loss(): ExclaimError | undefined;
  /** Resolves after `delayMs`, or sooner when the channel has closed or the deliveries are drained. */
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
  /** How many calls of `drain` have not ended. */
  #draining = 0;
  #isGone = false;
  /** Resolves when the channel has closed. */
  readonly gone: Promise<void>;

  constructor(channel: AmqpChannel) {
    let tellGone = (): void => {};
    this.gone = new Promise((resolve) => {
      tellGone = resolve;
    });
    channel.on("close", () => {
      this.#isGone = true;
      tellGone();
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

  /** Resolves once no delivery is open. Until then none rests. */
  async drain(): Promise<void> {
    this.#draining += 1;
    this.#wakeAll();
    if (this.#open.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#draining -= 1;
  }

  #abort(concerns: (consumerTag: string) => boolean, message: string): void {
    for (const [controller, tag] of this.#open) {
      if (concerns(tag)) controller.abort(new ExclaimError("ABORTED", message));
    }
  }

  #rest(delayMs: number): Promise<void> {
    if (this.#isGone || this.#draining > 0) return Promise.resolve();
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
