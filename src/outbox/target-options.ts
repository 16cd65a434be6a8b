import type { OutgoingMessage } from "./target.ts";

/** Where in the broker the messages of a `TargetSource` go. */
export interface TargetOptions {
  /** RabbitMQ: the queue, by the default exchange. */
  readonly queue?: string;
  /** RabbitMQ: an exchange of one's own, instead of `queue`. */
  readonly exchange?: string;
  /** RabbitMQ with `exchange`. @default the message's topic */
  readonly routingKey?: string | ((message: OutgoingMessage) => string);
  /** BullMQ: options of every job, `attempts` for one; the job's id is the message's. @default none */
  readonly jobOptions?: Readonly<Record<string, unknown>>;
}
