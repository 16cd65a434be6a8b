import { ExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpQueueOptions } from "./amqplib-channel.ts";
import { type Comparison, compareQueue } from "./amqplib-compare-queue.ts";
import { OwnChannel } from "./amqplib-own-channel.ts";
import { assertQueueName } from "./amqplib-queue-name.ts";

export type QueueType = "quorum" | "classic";

export const DEFAULT_DELAYS_MS: readonly number[] = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000];
const DEFAULT_DELIVERY_LIMIT = 100;

const MAX_DELAY_MS = 86_400_000;
const MAX_DELAYS = 32;
const MAX_DELIVERY_LIMIT = 1_000_000;

/** How the queues are declared. */
export interface TopologyOptions {
  /** The type of all the queues. Classic ones are on one node and lose more with it. @default "quorum" */
  readonly queueType?: QueueType;
  /** How long messages can wait, in ms: one delay queue each. 1 to 32 numbers from 1 to 86,400,000. @default 250 to 30,000, doubling */
  readonly delaysMs?: readonly number[];
  /** The queue for messages that are given up. @default `${queue}.dead` */
  readonly deadLetterQueue?: string;
  /**
   * How often the broker hands out again a message whose consumer died, before it dead-letters it: 1 to 1,000,000; for quorum queues only,
   * as a classic one goes on for ever. @default 100
   */
  readonly deliveryLimit?: number;
  /** Further arguments of the work queue, such as `x-max-length`; those that are set here already cannot be set otherwise. */
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** The queues that were declared, the delay queues from the shortest to the longest delay. */
export interface Topology {
  readonly queue: string;
  readonly deadLetterQueue: string;
  readonly delayQueues: readonly { readonly name: string; readonly delayMs: number }[];
}

/** A queue in which messages wait for `delayMs`. */
export interface DelayQueue {
  readonly name: string;
  readonly delayMs: number;
  readonly options: AmqpQueueOptions;
}

/**
 * The queue in which messages wait for `delayMs` before the broker moves them back to `queue`.
 * Shape: the name ends in the delay, so that no two delays or queues share one.
 * Source: RabbitMQ, "Time-To-Live" and "Dead Letter Exchanges", also for at-least-once, which needs RabbitMQ 3.10 and reject-publish.
 */
export function delayQueueOf(queue: string, delayMs: number, queueType: QueueType): DelayQueue {
  const name = `${queue}.retry.${delayMs}`;
  return { name, delayMs, options: optionsOf(queueType, { "x-message-ttl": delayMs, ...deadLetteredTo(queue, queueType) }) };
}

/**
 * Declares a work queue, the queues in which its messages wait, and the one for its dead letters: all durable.
 * Shape: `channel` is amqplib's; the declaring is done on channels of our own beside it, which are closed again.
 * After: all queues are there as asked for, each since before the first that points at it. Declaring them again, also at the same time,
 * changes nothing. A policy of the broker can still give them less: a TTL on the dead-letter queue, say, which AMQP does not show.
 * Died in between: the rest is declared the next time.
 * Throws CONFIG_INVALID: an option is wrong; or queues exist otherwise, or are refused by the broker: then all of them are named, with
 * what they have and what is asked for, and those that could be declared are; what amqplib throws when the connection is gone.
 * Source: RabbitMQ 4.1, "Quorum Queues" (delivery limit, dead lettering) and "Dead Letter Exchanges".
 */
export async function declareTopology(channel: AmqpChannel, queue: string, options: TopologyOptions = {}): Promise<Topology> {
  const { work, dead, delays } = planned(queue, options);
  const own = new OwnChannel(channel);
  const problems: string[] = [];
  try {
    let mayCreate = true;
    for (const { name, options } of [dead, work, ...delays]) {
      const comparison = await compareQueue(own, name, options, { mayCreate });
      problems.push(...problemsOf(name, options, comparison));
      // What points at a queue that is not there would lose its messages.
      if (comparison.is === "refused") mayCreate = false;
    }
  } finally {
    await own.close();
  }
  if (problems.length > 0) throw misfit(problems);
  const delayQueues = delays.map(({ name, delayMs }) => ({ name, delayMs }));
  return { queue, deadLetterQueue: dead.name, delayQueues };
}

interface Plan {
  readonly work: { readonly name: string; readonly options: AmqpQueueOptions };
  readonly dead: { readonly name: string; readonly options: AmqpQueueOptions };
  readonly delays: readonly DelayQueue[];
}

function planned(queue: string, options: TopologyOptions): Plan {
  const { queueType = "quorum", delaysMs = DEFAULT_DELAYS_MS, deadLetterQueue = `${queue}.dead` } = options;
  assertOptions(options);
  const stepsMs = [...new Set(delaysMs)].sort((a, b) => a - b);
  const delays = stepsMs.map((delayMs) => delayQueueOf(queue, delayMs, queueType));
  const names = [queue, deadLetterQueue, ...delays.map(({ name }) => name)];
  for (const name of names) assertQueueName("declareTopology", name);
  assertOption(new Set(names).size === names.length, `deadLetterQueue must be none of the other queues: ${deadLetterQueue}`);
  const limit = queueType === "quorum" ? { "x-delivery-limit": options.deliveryLimit ?? DEFAULT_DELIVERY_LIMIT } : {};
  const ours = optionsOf(queueType, { ...deadLetteredTo(deadLetterQueue, queueType), ...limit });
  return {
    work: { name: queue, options: { ...ours, arguments: withFurther(ours.arguments ?? {}, options.arguments ?? {}) } },
    dead: { name: deadLetterQueue, options: optionsOf(queueType, forLooking(queueType)) },
    delays,
  };
}

/** The type is always said: without one, a virtual host may have another default than classic. */
function optionsOf(queueType: QueueType, args: Readonly<Record<string, unknown>>): AmqpQueueOptions {
  return { durable: true, arguments: { "x-queue-type": queueType, ...args } };
}

/** Whoever looks at dead letters hands them back, and the broker's own limit for that would delete them. */
function forLooking(queueType: QueueType): Record<string, unknown> {
  return queueType === "quorum" ? { "x-delivery-limit": MAX_DELIVERY_LIMIT } : {};
}

/** To a queue through the default exchange, where each queue is bound by its name. */
function deadLetteredTo(queue: string, queueType: QueueType): Record<string, unknown> {
  const target = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue };
  if (queueType === "classic") return target;
  return { ...target, "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish" };
}

function withFurther(
  ours: Readonly<Record<string, unknown>>,
  further: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  for (const [name, value] of Object.entries(further)) {
    const isOurs = Object.hasOwn(ours, name) && value !== undefined && value !== ours[name];
    assertOption(!isOurs, `arguments must not set ${name} to ${described(value)}: it is ${described(ours[name])} here`);
  }
  return { ...further, ...ours };
}

function assertOptions({
  queueType = "quorum",
  delaysMs = DEFAULT_DELAYS_MS,
  deliveryLimit,
  arguments: further,
}: TopologyOptions): void {
  assertOption(queueType === "quorum" || queueType === "classic", "queueType must be quorum or classic");
  assertDelays(delaysMs, assertOption);
  assertOption(deliveryLimit === undefined || queueType === "quorum", "deliveryLimit is for quorum queues only");
  const isLimit = deliveryLimit === undefined || isWhole(deliveryLimit, MAX_DELIVERY_LIMIT);
  assertOption(isLimit, `deliveryLimit must be a whole number from 1 to ${MAX_DELIVERY_LIMIT}`);
  const isTable = further === undefined || (typeof further === "object" && further !== null && !Array.isArray(further));
  assertOption(isTable, "arguments must be an object");
  for (const [name, value] of Object.entries(further ?? {})) {
    const isPlain = ["string", "boolean", "undefined"].includes(typeof value) || Number.isFinite(value);
    assertOption(isPlain, `arguments: ${name} must be a text, a number, true or false`);
  }
}

/** Whether messages can wait for these delays. `assert` throws what does not hold. */
export function assertDelays(delaysMs: readonly number[], assert: (holds: boolean, what: string) => void): void {
  const isCountable = Array.isArray(delaysMs) && delaysMs.length >= 1 && delaysMs.length <= MAX_DELAYS;
  assert(isCountable, `delaysMs must be a list of 1 to ${MAX_DELAYS} delays`);
  const areDelays = delaysMs.every((delayMs) => isWhole(delayMs, MAX_DELAY_MS));
  assert(areDelays, `delaysMs must be whole numbers of milliseconds from 1 to ${MAX_DELAY_MS}`);
}

function isWhole(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max;
}

function assertOption(holds: boolean, what: string): void {
  if (!holds) throw new ExclaimError("CONFIG_INVALID", `declareTopology: ${what}`);
}

function problemsOf(queue: string, asked: AmqpQueueOptions, comparison: Comparison): readonly string[] {
  if (comparison.is === "refused") return [`${queue}: the broker refuses it: ${comparison.text}`];
  if (comparison.is !== "different") return [];
  const wanted: Readonly<Record<string, unknown>> = { durable: true, auto_delete: false, exclusive: false, ...asked.arguments };
  const differences = comparison.differences.map(
    ({ argument, have }) => `${argument}: have ${have?.text ?? "something else"}, want ${described(wanted[argument])}`,
  );
  const more = comparison.isComplete ? [] : ["and maybe more, which the broker does not tell"];
  return [`${queue}: ${[...differences, ...more].join("; ")}`];
}

function described(value: unknown): string {
  if (value === undefined) return "none";
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function misfit(problems: readonly string[]): ExclaimError {
  return new ExclaimError(
    "CONFIG_INVALID",
    `declareTopology: these queues are not, and cannot be made, as they should be:\n- ${problems.join("\n- ")}\n` +
      "A queue cannot be changed: delete it once it is empty, use another name, or adapt the options. " +
      "If the broker gives no permission to declare queues, have them declared for you, and consume without declaring.",
  );
}
