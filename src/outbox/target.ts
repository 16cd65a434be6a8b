import type { ExclaimError } from "../errors.ts";

/**
 * The contract of where messages go: a queue of a broker. `bullmq.ts` and `amqplib.ts` are the products. Rows of an import and rows of the
 * outbox go the same way.
 *
 * A message has a stable id: the broker drops a second one of the same id where it can (BullMQ, while it keeps the job), and a receiver
 * tells it by the id where it cannot (RabbitMQ).
 */
export interface MessageTarget {
  /** For people: `BullMQ queue voucher`, `RabbitMQ queue voucher`. */
  readonly name: string;
  /** How many messages at once suit the broker: more block it for longer and are no faster. */
  readonly chunkSize: number;
  /**
   * Hands messages to the broker, in order.
   * After: each that is answered `sent` is durable with the broker and on its way to a queue, this time or an earlier one.
   * Died in between: any of them may be with the broker.
   * Throws BROKER_UNREACHABLE: any of them may be with the broker, send all again; CONFIG_INVALID: there is no such queue.
   */
  send(messages: readonly OutgoingMessage[]): Promise<readonly SendAnswer[]>;
  /** How many messages wait in the queue, where the broker can say so cheaply. Throws BROKER_UNREACHABLE. */
  backlog?(): Promise<number>;
}

export interface OutgoingMessage {
  /** At most 255 bytes, no colon, not digits alone. */
  readonly id: string;
  /** BullMQ: the job's name. RabbitMQ: the message's `type`. */
  readonly topic: string;
  /** Plain data that JSON can hold. */
  readonly payload: unknown;
}

/** `refused`: the broker will not take this very message, MESSAGE_REFUSED says why; the others were sent. */
export type SendAnswer = "sent" | { readonly refused: ExclaimError };
