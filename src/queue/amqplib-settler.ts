import { isOfImport } from "../claim/account-row.ts";
import type { MessageEnd } from "../claim/row-note.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import { outageRetry } from "../settle/decide.ts";
import type { AmqpChannel, AmqpMessage } from "./amqplib-channel.ts";
import type { DelayLine, Onward } from "./amqplib-delay-line.ts";
import type { Deliveries, OpenDelivery } from "./amqplib-deliveries.ts";
import type { GivenUp, Journey } from "./amqplib-detour.ts";
import { isTakenBack } from "./amqplib-taken-back.ts";
import type { ClaimTarget, MessageEnds } from "./claim-target.ts";
import type { Judgement, Served } from "./deliver-message.ts";
import { completedEnd, givenUpEnd } from "./message-end.ts";
import { messageOf } from "./message-of.ts";
import { Outages } from "./outages.ts";

const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;
/** As much of a reason as the ledger keeps. */
const MAX_REASON_LENGTH = 1_000;

/** A delivery that can be settled. */
export interface SettledDelivery {
  readonly message: AmqpMessage;
  readonly queue: string;
  readonly journey: Journey;
  readonly open: OpenDelivery;
}

/** A delivery and what came of it. */
export interface ServedDelivery<M> extends SettledDelivery {
  readonly message: AmqpMessage & M;
  readonly messageId: string;
  readonly served: Served;
  /** The exchange of the queue's dead letters, if they keep their routing key, which the delay queues have taken from this message. */
  readonly straysTo: string | undefined;
}

export interface SettlerParts<M> {
  readonly channel: AmqpChannel;
  readonly deliveries: Deliveries;
  readonly delayLine: DelayLine;
  readonly target: MessageEnds<M> & Pick<ClaimTarget<M, unknown>, "jitter">;
  readonly attempts: number;
  readonly attemptDelayMs: number | ((attemptsMade: number) => number) | undefined;
  readonly report: (error: ExclaimError) => void;
}

/**
 * Tells RabbitMQ what became of a delivery: once, on the channel that delivered it, and only after what must outlast it is kept.
 * - complete: what became of the row of an import in the ledger, then ack
 * - retry: a confirmed copy in a delay queue, then ack
 * - fail: the same with one attempt more, while there are attempts left; else as dead-letter
 * - dead-letter: the same and the reason in the ledger, then nack without requeue
 *
 * A copy that cannot be published leaves one way that loses nothing: the delivery rests here for the delay, and is then given back.
 */
export class Settler<M> {
  readonly #parts: SettlerParts<M>;
  readonly #outages = new Outages("messages");

  constructor(parts: SettlerParts<M>) {
    this.#parts = parts;
  }

  /** Never throws. Died in between: the broker delivers the message again, and if the copy was confirmed, that one too. */
  async settle(delivery: ServedDelivery<M>): Promise<void> {
    // The tag of a delivery dies with its channel; the broker delivers the message again.
    if (this.#parts.deliveries.isGone) return;
    const { served, journey, open } = delivery;
    const { disposition } = served;
    const isCancelled = open.loss() !== undefined && disposition.do !== "complete";
    if (isCancelled && (await isTakenBack(this.#parts.channel, delivery.queue))) return;
    switch (disposition.do) {
      case "complete":
        return this.#complete(delivery);
      case "retry":
        if (disposition.error !== undefined) this.#tellOutage(disposition.error);
        return this.#putOffOr(delivery, disposition.delayMs, { ...journey, deferrals: journey.deferrals + 1 });
      case "fail": {
        const attemptsMade = journey.attemptsMade + 1;
        if (attemptsMade >= this.#parts.attempts || judge(disposition.error) === "final") {
          return this.#deadLetter(delivery, disposition.error);
        }
        return this.#putOffOr(delivery, this.#attemptDelayMs(attemptsMade), { ...journey, attemptsMade });
      }
      case "dead-letter":
        return this.#deadLetter(delivery, disposition.error);
    }
  }

  /** Lets a message that came back before its time wait on. Never throws. */
  async waitOn(delivery: SettledDelivery): Promise<void> {
    await this.#putOff(delivery, delivery.journey.restMs, delivery.journey);
  }

  /** Gives a delivery back to its queue that could not be served at all. Not at once, or it would come back as fast as it went. */
  async giveBack({ message, open }: Pick<SettledDelivery, "message" | "open">, delayMs: number): Promise<void> {
    await open.rest(delayMs);
    this.#tell((channel) => channel.nack(message, false, true));
  }

  async #complete(delivery: ServedDelivery<M>): Promise<void> {
    const { served, journey, message } = delivery;
    try {
      await this.#account(delivery, () => completedEnd(served));
    } catch (fault) {
      // Its claim is completed: what comes back is answered by that, and accounted for then.
      this.#tellOutage(fault);
      const { delayMs } = outageRetry(fault, journey.deferrals, this.#parts.target.jitter());
      const obstacle = await this.#putOff(delivery, delayMs, { ...journey, deferrals: journey.deferrals + 1 });
      if (obstacle !== undefined) await this.giveBack(delivery, delayMs);
      return;
    }
    this.#outages.over();
    this.#tell((channel) => channel.ack(message));
  }

  /** Tells a message's import, if it is of one, what became of its row. Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED. */
  async #account({ message, messageId }: ServedDelivery<M>, end: () => MessageEnd): Promise<void> {
    if (isOfImport(messageId)) await this.#parts.target.accountRow(message, messageId, end());
  }

  /** Puts a message off, or gives one up of which there can be no copy. */
  async #putOffOr(delivery: ServedDelivery<M>, delayMs: number, onward: Onward): Promise<void> {
    const obstacle = await this.#putOff(delivery, delayMs, onward);
    if (obstacle !== undefined) await this.#deadLetter(delivery, obstacle);
  }

  /** Returns why there can be no copy of this message, if that is so; it is not settled then. */
  async #putOff(delivery: SettledDelivery, delayMs: number, onward: Onward): Promise<ExclaimError | undefined> {
    const { message, queue } = delivery;
    try {
      await this.#parts.delayLine.putOff(message, queue, delayMs, onward);
      this.#tell((channel) => channel.ack(message));
    } catch (cause) {
      if (this.#parts.deliveries.isGone) return undefined;
      if (isExclaimError(cause, "MESSAGE_INVALID") && onward.givenUp === undefined) return cause;
      const code = isExclaimError(cause) ? cause.code : "ABORTED";
      const text = `a message of ${queue} could not be put off and is given back to the queue: ${messageOf(cause)}`;
      this.#parts.report(new ExclaimError(code, text, { cause }));
      await this.giveBack(delivery, Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, delayMs)));
    }
    return undefined;
  }

  async #deadLetter(delivery: ServedDelivery<M>, error: unknown): Promise<void> {
    const { target } = this.#parts;
    const { message, messageId, queue, journey, served, straysTo } = delivery;
    const ownId = messageIdOf(message);
    let { isDealtWith } = served;
    try {
      if (!isDealtWith) await target.giveUp(message, messageId);
      isDealtWith = true;
      await this.#account(delivery, () => givenUpEnd(served, error));
      await target.noteDeadLetter({
        queue,
        error,
        ...(ownId === undefined ? {} : { messageId: ownId }),
        ...(served.claimant === undefined ? {} : { claimant: served.claimant }),
      });
      if (straysTo !== undefined) await this.#parts.delayLine.sendOn(message, straysTo);
    } catch (fault) {
      // The broker keeps no reason: without our record nobody would ever know it. The message comes back for that alone.
      this.#tellOutage(fault);
      const onward = { ...journey, deferrals: journey.deferrals + 1, givenUp: givenUpBy(error, { ...served, isDealtWith }) };
      await this.#putOff(delivery, doubling(journey.deferrals), onward);
      return;
    }
    this.#tell((channel) => (straysTo === undefined ? channel.nack(message, false, false) : channel.ack(message)));
  }

  #tell(say: (channel: AmqpChannel) => void): void {
    if (this.#parts.deliveries.isGone) return;
    try {
      say(this.#parts.channel);
    } catch {
      // The channel is closing, which its event has yet to tell: the broker delivers the message again.
    }
  }

  #attemptDelayMs(attemptsMade: number): number {
    const { attemptDelayMs } = this.#parts;
    if (attemptDelayMs === undefined) return doubling(attemptsMade - 1);
    if (typeof attemptDelayMs === "number") return attemptDelayMs;
    const delayMs = tried(() => attemptDelayMs(attemptsMade));
    return typeof delayMs === "number" && Number.isFinite(delayMs) ? delayMs : doubling(attemptsMade - 1);
  }

  #tellOutage(error: unknown): void {
    const code = isExclaimError(error) ? error.code : "ABORTED";
    this.#outages.tell(error, (text) => this.#parts.report(new ExclaimError(code, text, { cause: error })));
  }
}

/** What a message that was given up is to be noted with, once that can be done. */
function givenUpBy(error: unknown, { claimant, isDealtWith }: Served): GivenUp {
  const code = isExclaimError(error) ? error.code : "";
  return { code, reason: messageOf(error).slice(0, MAX_REASON_LENGTH), claimant, isDealtWith };
}

/** An error named as BullMQ's for this is never tried again, so that one handler serves both brokers. */
export function judge(error: unknown): Judgement {
  return tried(() => (error as { readonly name?: unknown } | null | undefined)?.name) === "UnrecoverableError"
    ? "final"
    : "failure";
}

/** The publisher's id of a message, where it gave one. */
export function messageIdOf({ properties }: AmqpMessage): string | undefined {
  const { messageId } = properties;
  return typeof messageId === "string" && messageId !== "" ? messageId : undefined;
}

function tried<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

function doubling(times: number): number {
  return Math.min(MAX_DELAY_MS, MIN_DELAY_MS * 2 ** Math.min(times, 20));
}
