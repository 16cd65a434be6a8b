import type { ExclaimError } from "../errors.ts";
import type { ChannelListener, ReturnedMessage } from "./amqplib-channel-watch.ts";

/** What became of a published message: the broker has it in a queue, gave it back, or did not take it. */
export type Confirmation = "routed" | "returned" | "nacked";

/** A message on its way. */
export interface InFlight {
  readonly id: string;
  readonly exchange: string;
  readonly routingKey: string;
}

/**
 * The confirms that one call waits for. The broker gives a message back before it confirms it, and a channel that has closed confirms
 * nothing any more: then, and after `timeoutMs` without any confirm, waiting ends with a failure.
 */
export class Confirms implements ChannelListener {
  failure: ExclaimError | undefined;
  readonly #nameFailure: (cause: Error | undefined) => ExclaimError;
  /** How often each message was given back that is not confirmed yet; those of others on the channel, too. */
  readonly #returned = new Map<string, number>();
  #pending = 0;
  #isWritable = true;
  #hasMoved = false;
  #notify: (() => void) | undefined;

  constructor(nameFailure: (cause: Error | undefined) => ExclaimError) {
    this.#nameFailure = nameFailure;
  }

  /** The callback for a message's `publish`. Count it by `published` once that has returned. */
  callbackOf(message: InFlight, settle: (confirmation: Confirmation) => void): (error: unknown) => void {
    return (error) => {
      this.#pending -= 1;
      this.#hasMoved = true;
      if (this.failure === undefined) settle(this.#confirmation(message, error));
      this.#wake();
    };
  }

  /** `isWritable`: what `publish` returned. */
  published(isWritable: boolean): void {
    this.#pending += 1;
    this.#isWritable = isWritable;
  }

  /** Whether the channel takes more and fewer than `limit` messages wait for their confirm. */
  hasRoom(limit: number): boolean {
    return this.#isWritable && this.#pending < limit;
  }

  /** Resolves once it has room, or on a failure. */
  async room(limit: number): Promise<void> {
    while (this.failure === undefined && !this.hasRoom(limit)) await this.#moved();
  }

  /** Resolves once every message has its confirm, or on a failure. */
  async all(): Promise<void> {
    while (this.failure === undefined && this.#pending > 0) await this.#moved();
  }

  /** Fails after a time of `timeoutMs` without a confirm. Returns what stops it. */
  expire(timeoutMs: number, failure: () => ExclaimError): () => void {
    const timer = setInterval(() => {
      if (!this.#hasMoved) this.fail(failure());
      this.#hasMoved = false;
    }, timeoutMs);
    return () => clearInterval(timer);
  }

  fail(failure: ExclaimError): void {
    this.failure ??= failure;
    this.#wake();
  }

  returned({ fields, properties }: ReturnedMessage): void {
    const key = keyOf({ id: String(properties.messageId), ...fields });
    this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1);
  }

  drained(): void {
    this.#isWritable = true;
    this.#hasMoved = true;
    this.#wake();
  }

  closed(cause: Error | undefined): void {
    this.fail(this.#nameFailure(cause));
  }

  #confirmation(message: InFlight, error: unknown): Confirmation {
    if (error !== null && error !== undefined) return "nacked";
    if (this.#returned.size === 0) return "routed";
    const key = keyOf(message);
    const count = this.#returned.get(key) ?? 0;
    if (count === 0) return "routed";
    this.#returned.set(key, count - 1);
    return "returned";
  }

  #moved(): Promise<void> {
    return new Promise((resolve) => {
      this.#notify = resolve;
    });
  }

  #wake(): void {
    // A channel from which all is confirmed has been written out, whether it said so or not.
    if (this.#pending === 0) this.#isWritable = true;
    this.#notify?.();
    this.#notify = undefined;
  }
}

function keyOf({ id, exchange, routingKey }: InFlight): string {
  return JSON.stringify([exchange, routingKey, id]);
}
