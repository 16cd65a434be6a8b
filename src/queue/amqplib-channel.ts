import type { ConsumeMessage } from "amqplib";

/**
 * What is used of amqplib, 1.2 or newer, by its shape: amqplib itself is not imported, but for the type of its message, which a handler
 * gets as it is.
 */

/** A delivered message: amqplib's own. */
export type AmqpMessage = ConsumeMessage;
export type AmqpFields = AmqpMessage["fields"];
export type AmqpProperties = AmqpMessage["properties"];
export type AmqpHeaders = Record<string, unknown>;

/** Properties as `publish` takes them: those that are set. */
export interface AmqpPublishOptions {
  contentType?: string;
  contentEncoding?: string;
  headers?: AmqpHeaders;
  persistent?: boolean;
  priority?: number;
  correlationId?: string;
  replyTo?: string;
  messageId?: string;
  timestamp?: number;
  type?: string;
  appId?: string;
  mandatory?: boolean;
}

export interface AmqpQueueOptions {
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

export interface AmqpConsumeOptions {
  readonly consumerTag?: string;
  readonly noAck?: boolean;
  readonly exclusive?: boolean;
  readonly priority?: number;
  readonly arguments?: unknown;
}

/** amqplib's `Channel`, or its `ConfirmChannel`. */
export interface AmqpChannel {
  ack(message: AmqpMessage): void;
  nack(message: AmqpMessage, allUpTo: boolean, requeue: boolean): void;
  consume(
    queue: string,
    onMessage: (message: AmqpMessage | null) => void,
    options?: AmqpConsumeOptions,
  ): Promise<{ consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  prefetch(count: number): Promise<unknown>;
  publish(exchange: string, routingKey: string, content: Buffer, options?: AmqpPublishOptions): boolean;
  assertQueue(queue: string, options?: AmqpQueueOptions): Promise<unknown>;
  checkQueue(queue: string): Promise<{ messageCount: number; consumerCount: number }>;
  checkExchange(exchange: string): Promise<unknown>;
  close(): Promise<void>;
  on(event: "close", listener: () => void): unknown;
  on(event: "cancel", listener: (fields: { consumerTag: string }) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "return", listener: (message: { readonly properties: AmqpProperties }) => void): unknown;
}

/** What is used of amqplib's connection: one made with `recovery`, or a plain one. */
export interface AmqpConnection {
  createChannel(): Promise<AmqpChannel>;
  on(event: "error" | "reconnect-failed", listener: (error: Error) => void): unknown;
  removeListener(event: "error" | "reconnect-failed", listener: (error: Error) => void): unknown;
}
