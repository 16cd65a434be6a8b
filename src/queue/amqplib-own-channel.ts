import type { AmqpChannel } from "./amqplib-channel.ts";
import { closeChannel } from "./amqplib-close-channel.ts";
import { openSibling } from "./amqplib-sibling.ts";

/**
 * A channel of our own beside a user's, for questions that the broker may refuse: a refusal closes the channel it was made on, and the
 * next question is asked on a new one.
 */
export class OwnChannel {
  readonly #beside: AmqpChannel;
  #channel: AmqpChannel | undefined;

  constructor(beside: AmqpChannel) {
    this.#beside = beside;
  }

  /** Does `act` on a channel that is open. One at a time. Throws what `act` throws. */
  async ask<T>(act: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    const channel = this.#channel ?? (await openSibling(this.#beside));
    this.#channel = channel;
    try {
      return await act(channel);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Never throws. */
  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await closeChannel(channel);
  }
}

/** The number by which the broker refused, if `error` is a refusal. Source: AMQP 0-9-1 reference, constants. */
export function refusalCodeOf(error: unknown): number | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === "number" ? code : undefined;
}

/** The broker's own words within the message of an error that amqplib threw. */
export function refusalTextOf(error: unknown): string {
  const { message } = (error ?? {}) as { readonly message?: unknown };
  const text = typeof message === "string" ? message : "";
  return /^[^"]* with message "(.*)"$/s.exec(text)?.[1] ?? text;
}
