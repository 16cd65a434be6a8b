/**
 * What is used of amqplib, 1.2 or newer, by its shape: amqplib itself is not imported.
 */

/** A delivered message: amqplib's `ConsumeMessage`. */
export interface AmqpMessage {
  readonly content: Buffer;
  readonly fields: AmqpFields;
  readonly properties: AmqpProperties;
}

export interface AmqpFields {
  deliveryTag: number;
  redelivered: boolean;
  exchange: string;
  routingKey: string;
  consumerTag: string;
}

/** Shape: amqplib declares all but the headers as `any`; what a broker sends is a text or a number. */
export interface AmqpProperties {
  contentType: string | undefined;
  contentEncoding: string | undefined;
  headers: AmqpHeaders | undefined;
  deliveryMode: number | undefined;
  priority: number | undefined;
  correlationId: string | undefined;
  replyTo: string | undefined;
  expiration: string | undefined;
  messageId: string | undefined;
  timestamp: number | undefined;
  type: string | undefined;
  userId: string | undefined;
  appId: string | undefined;
  clusterId: string | undefined;
}

export type AmqpHeaders = Record<string, unknown>;

/** Properties as `publish` takes them. */
export type AmqpPublishOptions = Partial<AmqpProperties> & { mandatory?: boolean; persistent?: boolean };

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
