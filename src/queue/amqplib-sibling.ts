import { ExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpPublishOptions } from "./amqplib-channel.ts";
import { messageOf } from "./message-of.ts";

/**
 * Channels of our own on the connection of a channel that a user gave us.
 *
 * Two things must not be done on the user's channel: a question whose answer may be "no", since the broker then closes the channel and
 * delivers again everything on it; and publishing with confirms, which a plain channel cannot and a confirm channel counts.
 *
 * amqplib has no documented way from a channel to its connection's other channels. What is used, the same in 1.2 to 2.3: a channel is
 * an instance of a class that takes the connection (`channel.connection`), `open()` opens it, and a confirm channel is one after the
 * method confirm.select. Source: amqplib, `lib/channel_model.js`, `ChannelModel#createConfirmChannel`.
 */

/** amqplib's numbers of confirm.select and its answer: class 85, methods 10 and 11. */
const CONFIRM_SELECT = 0x55000a;
const CONFIRM_SELECT_OK = 0x55000b;

/** A channel that confirms what is published. */
export interface ConfirmingChannel extends AmqpChannel {
  /** Resolves once the broker has the message as durably as its queue keeps messages. Rejects: it has not, or nobody knows. */
  confirm(exchange: string, routingKey: string, content: Buffer, options: AmqpPublishOptions): Promise<void>;
}

interface ChannelInside extends AmqpChannel {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options?: AmqpPublishOptions,
    callback?: (error: unknown) => void,
  ): boolean;
  waitForConfirms?(): Promise<unknown>;
  readonly connection?: unknown;
  setOptions?(options: undefined): void;
  open?(): Promise<unknown>;
  rpc?(method: number, fields: object, expected: number): Promise<unknown>;
  pushConfirmCallback?(callback: (error: unknown) => void): void;
}

/**
 * Opens a channel beside `channel`, on the same connection. The caller closes it.
 * After: an error of it harms nobody else, and is told by the call that met it.
 * Throws CONFIG_INVALID: this is no channel of amqplib; what amqplib throws when the connection is gone.
 */
export async function openSibling(channel: AmqpChannel): Promise<AmqpChannel> {
  return openInside(channel);
}

/** The same, for publishing with confirms. */
export async function openConfirmingSibling(channel: AmqpChannel): Promise<ConfirmingChannel> {
  const sibling = await openInside(channel);
  const { rpc, pushConfirmCallback } = sibling;
  if (typeof rpc !== "function" || typeof pushConfirmCallback !== "function") throw notOurs();
  await rpc.call(sibling, CONFIRM_SELECT, { nowait: false }, CONFIRM_SELECT_OK);
  // A sibling of a confirm channel takes the callback itself; one of a plain channel counts what it is told to.
  const takesCallback = typeof sibling.waitForConfirms === "function";
  return Object.assign(sibling, {
    confirm(exchange: string, routingKey: string, content: Buffer, options: AmqpPublishOptions): Promise<void> {
      return new Promise((resolve, reject) => {
        const answered = (error: unknown): void => (error === null || error === undefined ? resolve() : reject(error));
        if (takesCallback) sibling.publish(exchange, routingKey, content, options, answered);
        else {
          sibling.publish(exchange, routingKey, content, options);
          pushConfirmCallback.call(sibling, answered);
        }
      });
    },
  });
}

async function openInside(channel: AmqpChannel): Promise<ChannelInside> {
  const { connection } = channel as ChannelInside;
  const Channel = channel.constructor as new (connection: unknown) => ChannelInside;
  let sibling: ChannelInside;
  try {
    sibling = new Channel(connection);
    sibling.setOptions?.(undefined);
  } catch (cause) {
    throw notOurs(cause);
  }
  if (typeof connection !== "object" || connection === null || typeof sibling.open !== "function") throw notOurs();
  // An error without a listener would end the process; whoever uses the channel learns of it by the call that fails.
  sibling.on("error", () => {});
  await sibling.open();
  return sibling;
}

function notOurs(cause?: unknown): ExclaimError {
  const why = cause === undefined ? "" : ` (${messageOf(cause)})`;
  return new ExclaimError(
    "CONFIG_INVALID",
    `the channel is none of amqplib's${why}: pass the channel that createChannel() or createConfirmChannel() returned, not a wrapper of it`,
    cause === undefined ? {} : { cause },
  );
}
