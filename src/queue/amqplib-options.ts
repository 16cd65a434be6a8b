import type { ExclaimError } from "../errors.ts";
import type { AmqpMessage } from "./amqplib-channel.ts";
import type { PayloadOptions } from "./amqplib-payload.ts";
import { assertDelays, DEFAULT_DELAYS_MS, type QueueType } from "./amqplib-topology.ts";
import { assertConfig, type PoolDeliveryOptions, type ResourceDeliveryOptions } from "./claim-options.ts";

/** A delivered message as a handler gets it: amqplib's own, with the payload as `data`. */
export type AmqpDelivery<P> = AmqpMessage & { readonly data: P };

/** How messages of RabbitMQ are read, tried again and given up, whatever they claim. Shape: `P` is the payload. */
export interface AmqpDeliveryOptions<P> extends PayloadOptions<P> {
  /** The queue, for a callback that is not itself given to `channel.consume`. @default the one that `channel.consume` is called with */
  readonly queue?: string;
  /**
   * Where messages go that are given up. `required`: the queue's own dead-letter exchange, looked for before the queue is consumed;
   * `policy`: one that a policy of the broker gives the queue, which cannot be looked for; `discard`: nowhere, only the record of the
   * reason stays. @default "required"
   */
  readonly deadLetter?: "required" | "policy" | "discard";
  /** How often a message is tried whose handler throws, 1 to 1,000,000. @default 1 */
  readonly attempts?: number;
  /** How long a failed message waits for its next attempt, in ms, or a function of the attempts made. @default 1 s, doubling, up to 30 s */
  readonly attemptDelayMs?: number | ((attemptsMade: number) => number);
  /** The kind of the delay queues, which are declared when first needed. @default "quorum" */
  readonly queueType?: QueueType;
  /** The steps of delay, in ms, for each of which there is a delay queue. @default 250 to 30,000, doubling */
  readonly delaysMs?: readonly number[];
  /** The broker has cancelled the consumer, as when its queue was deleted: its claims were aborted, and it gets no more messages. */
  readonly onCancelled?: () => void;
  /** Told of what went wrong beside the messages' own failures. @default a warning of the process */
  readonly onError?: (error: ExclaimError) => void;
}

/**
 * How the messages of a queue claim rows of a pool.
 * Shape: `P` is the payload, `R` the row of the pool.
 */
export interface AmqpClaimOptions<P, R extends object>
  extends PoolDeliveryOptions<AmqpDelivery<P>, R>,
    AmqpDeliveryOptions<P> {}

/** How the messages of a queue claim the keys of a named resource. */
export interface AmqpResourceOptions<P> extends ResourceDeliveryOptions<AmqpDelivery<P>>, AmqpDeliveryOptions<P> {}

const MAX_ATTEMPTS = 1_000_000;
const DEAD_LETTER: readonly unknown[] = ["required", "policy", "discard"];

/** Throws CONFIG_INVALID. The payload's own options are checked where they are used. */
export function assertDeliveryOptions<P>(options: AmqpDeliveryOptions<P>): void {
  const { queue, deadLetter = "required", attempts = 1, attemptDelayMs = 0, onCancelled, onError } = options;
  const { queueType = "quorum", delaysMs = DEFAULT_DELAYS_MS } = options;
  assertConfig(queueType === "quorum" || queueType === "classic", "queueType must be quorum or classic");
  assertDelays(delaysMs, assertConfig);
  assertConfig(queue === undefined || (typeof queue === "string" && queue !== ""), "queue must be a name");
  assertConfig(DEAD_LETTER.includes(deadLetter), "deadLetter must be required, policy or discard");
  const isCount = Number.isInteger(attempts) && attempts >= 1 && attempts <= MAX_ATTEMPTS;
  assertConfig(isCount, `attempts must be a whole number from 1 to ${MAX_ATTEMPTS}`);
  assertConfig(
    typeof attemptDelayMs === "function" || (Number.isFinite(attemptDelayMs) && attemptDelayMs >= 0),
    "attemptDelayMs must be a number of milliseconds, 0 or more, or a function that gives one",
  );
  assertConfig(onCancelled === undefined || typeof onCancelled === "function", "onCancelled must be a function");
  assertConfig(onError === undefined || typeof onError === "function", "onError must be a function");
}

const MAX_PREFETCH = 65_535;

/** What a whole consumer has to say beside its claims. Throws CONFIG_INVALID. */
export function assertConsumerOptions(
  queue: string,
  options: { readonly concurrency?: number; readonly declare?: boolean; readonly noAck?: unknown },
): void {
  const { concurrency = 1, declare = true, noAck = false } = options;
  assertConfig(typeof queue === "string" && queue !== "", "the queue must be a name");
  const isPrefetch = Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= MAX_PREFETCH;
  assertConfig(isPrefetch, `concurrency must be a whole number from 1 to ${MAX_PREFETCH}`);
  assertConfig(typeof declare === "boolean", "declare must be true or false");
  assertConfig(
    noAck === false,
    "noAck takes each message off its queue before it is served, so that a crash loses it: leave it out",
  );
}
