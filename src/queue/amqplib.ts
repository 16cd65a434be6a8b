/**
 * `exclaim/amqplib`: RabbitMQ consumers whose handlers run with one claimed row, or one key of a named resource.
 *
 * A delivery becomes a claim (`claim-target.ts`), the outcome a disposition (`deliver-message.ts`), and the disposition what RabbitMQ
 * understands (`amqplib-settler.ts`):
 * - complete: ack
 * - retry: a copy waits in a delay queue (`amqplib-delay-line.ts`), then ack; no attempt is burned
 * - fail: the same, counting an attempt, while there are attempts left; else as dead-letter
 * - dead-letter: the reason goes to the ledger, the message to where the queue's dead letters go
 *
 * amqplib itself is not imported: what is used of it is typed in `amqplib-channel.ts`.
 */
import type { Claim } from "../claim/claim.ts";
import { type ConsumerCallback, claimCallback } from "./amqplib-callback.ts";
import type { AmqpChannel, AmqpConnection, AmqpMessage } from "./amqplib-channel.ts";
import { type Consumer, type ConsumerOptions, startConsumer } from "./amqplib-consumer.ts";
import {
  type AmqpClaimOptions,
  type AmqpDelivery,
  type AmqpResourceOptions,
  assertConsumerOptions,
  assertDeliveryOptions,
} from "./amqplib-options.ts";
import { reporter } from "./amqplib-report.ts";
import { declareTopology, type Topology, type TopologyOptions } from "./amqplib-topology.ts";
import { assertClaimOptions } from "./claim-options.ts";
import { poolTarget, resourceTarget } from "./claim-target.ts";

export type {
  AmqpChannel,
  AmqpClaimOptions,
  AmqpConnection,
  AmqpDelivery,
  AmqpMessage,
  AmqpResourceOptions,
  Consumer,
  ConsumerCallback,
  ConsumerOptions,
  Topology,
  TopologyOptions,
};
export { declareTopology };

/**
 * Makes the callback of a consumer, for `channel.consume(queue, callback)`, that runs the handler with a claimed row that is its message's
 * own, and settles the message on `channel`.
 * Shape: for one channel; after a reconnection, call it again with the new one. The handler gets amqplib's message with the payload as
 * `data`. Set `channel.prefetch()` before: it is the number of messages served at a time. `channel.consume` then refuses what would lose
 * messages: `noAck`, and a queue without a place for dead letters (see `deadLetter`).
 * After: a message that was acknowledged has completed its claim, or waits as a copy for a later try.
 * Died in between: the broker delivers the message again, and the same row is resumed.
 * Throws CONFIG_INVALID at once when an option is wrong.
 */
export function withClaim<P = unknown, T = unknown, R extends object = Record<string, unknown>>(
  channel: AmqpChannel,
  handler: (message: AmqpDelivery<P>, claim: Claim<R>) => Promise<T>,
  options: AmqpClaimOptions<P, R>,
): ConsumerCallback;
/** The same for a named resource: the handler runs while no other message works on the key. */
export function withClaim<P = unknown, T = unknown>(
  channel: AmqpChannel,
  handler: (message: AmqpDelivery<P>, claim: Claim<undefined>) => Promise<T>,
  options: AmqpResourceOptions<P>,
): ConsumerCallback;
export function withClaim<P, T, R extends object>(
  channel: AmqpChannel,
  handler: AnyHandler<P, T, R>,
  options: AmqpClaimOptions<P, R> | AmqpResourceOptions<P>,
): ConsumerCallback {
  assertClaimOptions(handler, options);
  assertDeliveryOptions(options);
  return callbackOf(channel, handler, options);
}

/**
 * A whole consumer: declares the queues, consumes, comes back after the connection, the channel or the queue was lost, and drains when it
 * is closed.
 * Shape: `connection` is amqplib's, made with `recovery` to come back by itself. With `declare: false` the queues are as they are.
 * After: messages are served; `close()` the consumer before the connection.
 * Died in between: the broker delivers again what was not settled.
 * Throws CONFIG_INVALID: an option is wrong, or a queue exists otherwise; what amqplib throws that gives no channel.
 */
export function consume<P = unknown, T = unknown, R extends object = Record<string, unknown>>(
  connection: AmqpConnection,
  queue: string,
  handler: (message: AmqpDelivery<P>, claim: Claim<R>) => Promise<T>,
  options: AmqpClaimOptions<P, R> & ConsumerOptions,
): Promise<Consumer>;
/** The same for a named resource. */
export function consume<P = unknown, T = unknown>(
  connection: AmqpConnection,
  queue: string,
  handler: (message: AmqpDelivery<P>, claim: Claim<undefined>) => Promise<T>,
  options: AmqpResourceOptions<P> & ConsumerOptions,
): Promise<Consumer>;
export async function consume<P, T, R extends object>(
  connection: AmqpConnection,
  queue: string,
  handler: AnyHandler<P, T, R>,
  options: (AmqpClaimOptions<P, R> | AmqpResourceOptions<P>) & ConsumerOptions,
): Promise<Consumer> {
  assertClaimOptions(handler, options);
  assertDeliveryOptions(options);
  assertConsumerOptions(queue, options);
  return startConsumer({
    connection,
    queue,
    options,
    report: reporter(options.onError),
    callbackFor(channel, onCancelled) {
      const cancelled = (): void => {
        onCancelled();
        options.onCancelled?.();
      };
      // Where the queues were just declared, dead letters have their place.
      const deadLetter = (options.declare ?? true) ? "policy" : (options.deadLetter ?? "required");
      return callbackOf(channel, handler, { ...options, queue, deadLetter, onCancelled: cancelled });
    },
  });
}

/** What the overloads take: a handler that fits the claims which its options ask for. */
type AnyHandler<P, T, R> = ((message: AmqpDelivery<P>, claim: Claim<R>) => Promise<T>) &
  ((message: AmqpDelivery<P>, claim: Claim<undefined>) => Promise<T>);

function callbackOf<P, T, R extends object>(
  channel: AmqpChannel,
  handler: AnyHandler<P, T, R>,
  options: AmqpClaimOptions<P, R> | AmqpResourceOptions<P>,
): ConsumerCallback {
  return options.resource !== undefined
    ? claimCallback<P, T, undefined>({ channel, handler, options, target: resourceTarget(options) })
    : claimCallback<P, T, R>({ channel, handler, options, target: poolTarget(options) });
}
