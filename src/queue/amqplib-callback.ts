import { randomUUID } from "node:crypto";
import type { Claim } from "../claim/claim.ts";
import { ExclaimError, type ExclaimErrorCode, isExclaimError } from "../errors.ts";
import type { SettlePolicy } from "../settle/policy.ts";
import type { AmqpChannel, AmqpConsumeOptions, AmqpMessage } from "./amqplib-channel.ts";
import { ConsumedQueues } from "./amqplib-consumed-queues.ts";
import { assertDeadLetterTarget, type DeadLettering } from "./amqplib-dead-letter-check.ts";
import { DelayLine } from "./amqplib-delay-line.ts";
import { Deliveries, type OpenDelivery } from "./amqplib-deliveries.ts";
import { endDetour, type GivenUp, type Journey } from "./amqplib-detour.ts";
import type { AmqpDelivery, AmqpDeliveryOptions } from "./amqplib-options.ts";
import { payloadReader } from "./amqplib-payload.ts";
import { guarded, reporter } from "./amqplib-report.ts";
import { judge, messageIdOf, Settler } from "./amqplib-settler.ts";
import { DEFAULT_DELAYS_MS } from "./amqplib-topology.ts";
import type { ClaimTarget } from "./claim-target.ts";
import { deliverMessage, type Served } from "./deliver-message.ts";
import { messageOf } from "./message-of.ts";

/** How long a delivery rests that could not even be looked at, before its queue has it again. */
const UNREADABLE_REST_MS = 5_000;
const UNSERVED = { outcome: undefined, resourceId: undefined } as const;
/** For a message that was taken away before anybody knew what it is. */
const AGAIN = { do: "retry", delayMs: 0 } as const;

/** What `withClaim` returns, to be given to `channel.consume(queue, callback)`. Never throws, and no promise of it rejects. */
export interface ConsumerCallback {
  (message: AmqpMessage | null): void;
  /**
   * Resolves once every delivery is settled; none rests here for a later try any longer. For the time between `channel.cancel` and
   * `channel.close`, together with `exclaim.close()`, which ends the claims.
   */
  drain(): Promise<void>;
}

/** What the callback of one channel works with. */
export interface CallbackParts<P, T, R> {
  readonly channel: AmqpChannel;
  readonly handler: (message: AmqpDelivery<P>, claim: Claim<R>) => Promise<T>;
  readonly target: ClaimTarget<AmqpDelivery<P>, R>;
  readonly options: AmqpDeliveryOptions<P> & SettlePolicy<AmqpDelivery<P>>;
}

/** Builds the callback. Throws CONFIG_INVALID. */
export function claimCallback<P, T, R>(parts: CallbackParts<P, T, R>): ConsumerCallback {
  const { channel, handler, target, options } = parts;
  const { attempts = 1, attemptDelayMs, deadLetter = "required", queueType = "quorum", delaysMs = DEFAULT_DELAYS_MS } = options;
  const report = reporter(options.onError);
  const read = payloadReader(options);
  const deliveries = new Deliveries(channel);
  const delayLine = new DelayLine(channel, { queueType, delaysMs });
  void deliveries.gone.then(() => delayLine.close());
  const settler = new Settler<AmqpDelivery<P>>({ channel, deliveries, delayLine, target, attempts, attemptDelayMs, report });
  const serving = { handler, target, policy: options, judge };
  const queues = new ConsumedQueues(channel, options.queue);
  const looked = new Map<string, Promise<DeadLettering | undefined>>();

  function onMessage(message: AmqpMessage | null): void {
    if (message !== null) void deliver(message);
    else guarded(report, "onCancelled threw", () => options.onCancelled?.());
  }

  async function deliver(message: AmqpMessage): Promise<void> {
    if (!queues.isDeliveredHere(message.fields)) {
      report(elsewhere());
      return;
    }
    const open = deliveries.begin(message.fields.consumerTag);
    try {
      const queue = queues.queueOf(message.fields);
      const deadLettering = await lookAt(queue);
      const journey = endDetour(message, (name) => delayLine.isDelayQueue(queue, name));
      if (journey.restMs > 0) return await settler.waitOn({ message, queue, journey, open });
      // By it the engine knows a claim of this delivery again.
      const messageId = messageIdOf(message) ?? randomUUID();
      const served = await serve(message, messageId, journey, open);
      const straysTo = journey.isDetoured ? straying(deadLettering) : undefined;
      await settler.settle({ message: message as AmqpDelivery<P>, messageId, queue, journey, open, served, straysTo });
    } catch (error) {
      report(
        isExclaimError(error) ? error : new ExclaimError("ABORTED", `a delivery broke: ${messageOf(error)}`, { cause: error }),
      );
      await settler.giveBack({ message, open }, UNREADABLE_REST_MS);
    } finally {
      open.end();
    }
  }

  async function serve(message: AmqpMessage, messageId: string, journey: Journey, open: OpenDelivery): Promise<Served> {
    try {
      Object.assign(message, { data: await orAborted(open.signal, read(message)) });
    } catch (error) {
      const disposition = open.loss() === undefined ? ({ do: "dead-letter", error } as const) : AGAIN;
      return { disposition, isDealtWith: true, claimant: undefined, ...UNSERVED };
    }
    if (journey.givenUp !== undefined) return givenUp(journey.givenUp);
    const { deferrals, attemptsMade } = journey;
    const delivery = {
      message: message as AmqpDelivery<P>,
      messageId,
      signal: open.signal,
      deferrals,
      attemptsMade,
      lastAttempt: attemptsMade + 1 >= attempts,
      loss: open.loss,
    };
    return deliverMessage(delivery, serving);
  }

  /** Before the first message of a queue: whether what is given up has somewhere to go. */
  function lookAt(queue: string): Promise<DeadLettering | undefined> {
    if (deadLetter !== "required") return Promise.resolve(undefined);
    const known = looked.get(queue);
    if (known !== undefined) return known;
    const looking = assertDeadLetterTarget(channel, queue);
    looked.set(queue, looking);
    // The next one looks again: by then the queue may be declared as it should.
    looking.catch(() => looked.delete(queue));
    return looking;
  }

  async function beforeConsuming(queue: string, { noAck }: AmqpConsumeOptions): Promise<void> {
    if (noAck) {
      const message = "noAck takes each message off its queue before it is served, so that a crash loses it: leave it out";
      throw new ExclaimError("CONFIG_INVALID", `withClaim: ${message}`);
    }
    if (queue === "") throw new ExclaimError("CONFIG_INVALID", "withClaim: name the queue to consume");
    await lookAt(queue);
  }

  const drain = (): Promise<void> => deliveries.drain();

  const callback = Object.assign(onMessage, { drain });
  queues.watch(callback, beforeConsuming);
  return callback;
}

/** The exchange to which the queue's dead letters go by their own routing key. */
function straying(deadLettering: DeadLettering | undefined): string | undefined {
  const { exchange, routingKey } = deadLettering ?? {};
  return typeof exchange === "string" && exchange !== "" && routingKey === null ? exchange : undefined;
}

/** A message that was given up before and comes back to be noted. */
function givenUp({ code, reason, claimant, isDealtWith }: GivenUp): Served {
  // What an error of ours said is one of our codes; anybody else's is noted by its text alone.
  const error = code === "" ? new Error(reason) : new ExclaimError(code as ExclaimErrorCode, reason);
  return { disposition: { do: "dead-letter", error }, isDealtWith, claimant, ...UNSERVED };
}

/** Ends with the delivery: a parser that hangs must not keep a channel's memory for ever. */
function orAborted<V>(signal: AbortSignal, value: V | Promise<V>): V | Promise<V> {
  if (!(value instanceof Promise)) return value;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    value.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function elsewhere(): ExclaimError {
  return new ExclaimError(
    "CONFIG_INVALID",
    "a message came on another channel than the one given to withClaim(channel, ...) and cannot be settled: " +
      "call withClaim anew for each channel, as after a reconnection",
  );
}
