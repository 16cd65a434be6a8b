import { ExclaimError, isExclaimError } from "../errors.ts";
import { type AmqpConfirmChannel, amqplibTarget } from "./amqplib.ts";
import { type BullmqQueue, bullmqTarget } from "./bullmq.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "./target.ts";
import type { TargetOptions } from "./target-options.ts";

export type { TargetOptions };

/**
 * What people have at hand to send messages with. A function resolves once all it was given are safe, and throws when any is not; it is
 * given them again then. For one that can never be sent it throws an `ExclaimError` of MESSAGE_REFUSED, and is asked for each alone.
 */
export type TargetSource =
  | BullmqQueue
  | AmqpConfirmChannel
  | MessageTarget
  | ((messages: readonly OutgoingMessage[]) => Promise<void>);

/** How many messages a function is given at once. */
const FUNCTION_CHUNK_SIZE = 200;

/** The target behind what was given. Throws CONFIG_INVALID: it is none, or an option is missing that it needs or is another broker's. */
export function targetOf(source: TargetSource, options: TargetOptions = {}): MessageTarget {
  if (typeof source === "function") return functionTarget(source);
  if (isTarget(source)) return source;
  if (isQueue(source)) return bullmqTarget(source, without(options, ["queue", "exchange", "routingKey"], "RabbitMQ"));
  if (isChannel(source)) return amqplibTarget(source, without(options, ["jobOptions"], "BullMQ"));
  throw new ExclaimError(
    "CONFIG_INVALID",
    "`to` must be a BullMQ Queue, an amqplib confirm channel, a MessageTarget or a function of messages",
  );
}

function without(options: TargetOptions, foreign: readonly (keyof TargetOptions)[], broker: string): TargetOptions {
  const wrong = foreign.find((option) => options[option] !== undefined);
  if (wrong === undefined) return options;
  throw new ExclaimError("CONFIG_INVALID", `\`${wrong}\` is for ${broker}, and \`to\` is something else: leave the option out`);
}

function isTarget(source: unknown): source is MessageTarget {
  return hasMethods(source, "send") && typeof (source as MessageTarget).chunkSize === "number";
}

function isQueue(source: unknown): source is BullmqQueue {
  return hasMethods(source, "addBulk", "getJobCounts");
}

/** A channel of either kind: `amqplibTarget` says what is wrong with one that does not confirm. */
function isChannel(source: unknown): source is AmqpConfirmChannel {
  return hasMethods(source, "publish", "sendToQueue");
}

function hasMethods(source: unknown, ...names: readonly string[]): boolean {
  if (typeof source !== "object" || source === null) return false;
  return names.every((name) => typeof (source as Record<string, unknown>)[name] === "function");
}

/**
 * Every message that a function was given is sent once it resolves. What it throws concerns all of them, unless it is MESSAGE_REFUSED:
 * then they are given to it again one by one, to learn which it is.
 */
function functionTarget(send: (messages: readonly OutgoingMessage[]) => Promise<void>): MessageTarget {
  return {
    name: send.name === "" ? "the function of messages" : `the function ${send.name}`,
    chunkSize: FUNCTION_CHUNK_SIZE,
    async send(messages) {
      const answer = await answerOf(send, messages);
      if (answer === "sent" || messages.length <= 1) return messages.map(() => answer);
      const answers: SendAnswer[] = [];
      for (const message of messages) answers.push(await answerOf(send, [message]));
      return answers;
    },
  };
}

/** Throws what is no refusal. */
async function answerOf(
  send: (messages: readonly OutgoingMessage[]) => Promise<void>,
  messages: readonly OutgoingMessage[],
): Promise<SendAnswer> {
  try {
    await send(messages);
    return "sent";
  } catch (cause) {
    if (isExclaimError(cause, "MESSAGE_REFUSED")) return { refused: cause };
    if (isExclaimError(cause)) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExclaimError("BROKER_UNREACHABLE", `the function that sends messages failed: ${why}`, { cause });
  }
}
