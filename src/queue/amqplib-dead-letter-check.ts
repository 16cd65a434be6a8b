import { ExclaimError } from "../errors.ts";
import type { AmqpChannel } from "./amqplib-channel.ts";
import { compareQueue } from "./amqplib-compare-queue.ts";
import { OwnChannel, refusalCodeOf, refusalTextOf } from "./amqplib-own-channel.ts";

/** Source: AMQP 0-9-1 reference, constants. */
const NOT_FOUND = 404;

/**
 * Makes sure that what is given up has somewhere to go: the queue has a dead-letter exchange, and that exists; for the default exchange,
 * also the queue that the routing key names.
 * Shape: nothing is asked on `channel` itself but beside it, nothing is created or changed.
 * After: what the queue was declared with; resolves as well when it cannot be told, for want of the permission to configure the queue, or since the broker's answer is not
 * understood or cut off, as for a queue with a very long name. Whether anything is bound to a named exchange, AMQP does not tell.
 * Throws CONFIG_INVALID: the queue is missing, or has no such target; what amqplib throws when the connection is gone.
 */
export async function assertDeadLetterTarget(channel: AmqpChannel, queue: string): Promise<DeadLettering> {
  const own = new OwnChannel(channel);
  try {
    await assertQueueExists(own, queue);
    return await assertTarget(own, queue);
  } finally {
    await own.close();
  }
}

async function assertQueueExists(own: OwnChannel, queue: string): Promise<void> {
  const exists = await isThere(own, (channel) => channel.checkQueue(queue));
  if (!exists)
    throw wrong(`the queue ${queue} does not exist: declare it before it is consumed, for example by declareTopology`);
}

async function assertTarget(own: OwnChannel, queue: string): Promise<DeadLettering> {
  const found = await readDeadLettering(own, queue);
  const { exchange, routingKey } = found;
  if (exchange === undefined) return found;
  if (exchange === null) throw noTarget(queue, "it has no dead-letter exchange");
  if (exchange !== "") {
    const exists = await isThere(own, (channel) => channel.checkExchange(exchange));
    if (!exists) throw noTarget(queue, `its dead-letter exchange ${exchange} does not exist`);
    return found;
  }
  if (routingKey === undefined) return found;
  if (routingKey === null) {
    const why = "its dead-letter exchange is the default one, and without x-dead-letter-routing-key";
    throw noTarget(queue, `${why} a message keeps its own key, which brings one that was sent to ${queue} back to ${queue}`);
  }
  if (routingKey === queue) throw noTarget(queue, "its dead letters go back to itself");
  const exists = await isThere(own, (channel) => channel.checkQueue(routingKey));
  if (!exists) throw noTarget(queue, `its dead letters go to the queue ${routingKey}, which does not exist`);
  return found;
}

/** Where a queue's dead letters go. Null: the queue has none, undefined: it cannot be told. */
export interface DeadLettering {
  readonly exchange: string | null | undefined;
  readonly routingKey: string | null | undefined;
}

async function readDeadLettering(own: OwnChannel, queue: string): Promise<DeadLettering> {
  // Asked for as a queue without arguments, it differs by each that it has.
  const comparison = await compareQueue(own, queue, { durable: true }, { mayCreate: false });
  if (comparison.is === "same") return { exchange: null, routingKey: null };
  if (comparison.is !== "different") return { exchange: undefined, routingKey: undefined };
  const { differences, isComplete } = comparison;
  const textOf = (argument: string): string | null | undefined => {
    const difference = differences.find((found) => found.argument === argument);
    if (difference === undefined) return isComplete ? null : undefined;
    const { have } = difference;
    return typeof have?.value === "string" ? have.value : undefined;
  };
  return { exchange: textOf("x-dead-letter-exchange"), routingKey: textOf("x-dead-letter-routing-key") };
}

/** False when the broker says that there is no such thing; true also when it does not say. */
async function isThere(own: OwnChannel, check: (channel: AmqpChannel) => Promise<unknown>): Promise<boolean> {
  try {
    await own.ask(check);
    return true;
  } catch (error) {
    const code = refusalCodeOf(error);
    if (code === undefined || code < 400 || code >= 500) throw error;
    // The same number says that the queue's node is down.
    return code !== NOT_FOUND || !refusalTextOf(error).startsWith("NOT_FOUND - no ");
  }
}

function noTarget(queue: string, why: string): ExclaimError {
  return wrong(
    `messages of the queue ${queue} that are given up would be lost: ${why}. Either declare it with declareTopology, or with the ` +
      'arguments x-dead-letter-exchange and x-dead-letter-routing-key, such as "" and the name of a queue for dead letters; or, if a ' +
      'policy of the broker sends its dead letters somewhere, which cannot be seen here, set deadLetter: "policy"; ' +
      'or, if they may be lost, deadLetter: "discard"',
  );
}

function wrong(what: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", what);
}
