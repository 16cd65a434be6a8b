import type { Claim } from "../claim/claim.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import type { SettlePolicy } from "../settle/policy.ts";
import type { AmqpChannel, AmqpConsumeOptions, AmqpMessage } from "./amqplib-channel.ts";
import { ConsumedQueues } from "./amqplib-consumed-queues.ts";
import { assertDeadLetterTarget } from "./amqplib-dead-letter-check.ts";
import { DelayLine } from "./amqplib-delay-line.ts";
import { Deliveries, type OpenDelivery } from "./amqplib-deliveries.ts";
import { type Counts, endDetour } from "./amqplib-detour.ts";
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
  channel.on("close", () => delayLine.close());
  const settler = new Settler<AmqpDelivery<P>>({ channel, deliveries, delayLine, target, attempts, attemptDelayMs, report });
  const serving = { handler, target, policy: options, judge };
  const queues = new ConsumedQueues(channel, options.queue);
  const looked = new Map<string, Promise<void>>();

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
      await lookAt(queue);
      const counts = endDetour(message, (name) => delayLine.isDelayQueue(queue, name));
      const served = await serve(message, counts, open);
      await settler.settle({ message: message as AmqpDelivery<P>, queue, counts, open, served });
    } catch (error) {
      report(
        isExclaimError(error) ? error : new ExclaimError("ABORTED", `a delivery broke: ${messageOf(error)}`, { cause: error }),
      );
      await settler.giveBack({ message: message as AmqpDelivery<P>, open }, UNREADABLE_REST_MS);
    } finally {
      open.end();
    }
  }

  async function serve(message: AmqpMessage, { deferrals, attemptsMade }: Counts, open: OpenDelivery): Promise<Served> {
    try {
      Object.assign(message, { data: await read(message) });
    } catch (error) {
      return { disposition: { do: "dead-letter", error }, isDealtWith: true, claimant: undefined };
    }
    const delivery = {
      message: message as AmqpDelivery<P>,
      messageId: messageIdOf(message),
      signal: open.signal,
      deferrals,
      attemptsMade,
      lastAttempt: attemptsMade + 1 >= attempts,
      loss: open.loss,
    };
    return deliverMessage(delivery, serving);
  }

  /** Before the first message of a queue: whether what is given up has somewhere to go. */
  function lookAt(queue: string): Promise<void> {
    if (deadLetter !== "required") return Promise.resolve();
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

  async function drain(): Promise<void> {
    deliveries.flush();
    await deliveries.idle();
  }

  const callback = Object.assign(onMessage, { drain });
  queues.watch(callback, beforeConsuming);
  return callback;
}

function elsewhere(): ExclaimError {
  return new ExclaimError(
    "CONFIG_INVALID",
    "a message came on another channel than the one given to withClaim(channel, ...) and cannot be settled: " +
      "call withClaim anew for each channel, as after a reconnection",
  );
}
