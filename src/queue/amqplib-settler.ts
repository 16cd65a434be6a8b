import { ExclaimError, isExclaimError } from "../errors.ts";
import type { AmqpChannel, AmqpMessage } from "./amqplib-channel.ts";
import type { DelayLine } from "./amqplib-delay-line.ts";
import type { Deliveries, OpenDelivery } from "./amqplib-deliveries.ts";
import type { Counts } from "./amqplib-detour.ts";
import type { ClaimTarget } from "./claim-target.ts";
import type { Judgement, Served } from "./deliver-message.ts";
import { messageOf } from "./message-of.ts";
import { Outages } from "./outages.ts";

const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;

/** A delivery and where it stands. */
export interface ServedDelivery<M> {
  readonly message: AmqpMessage & M;
  readonly queue: string;
  readonly counts: Counts;
  readonly open: OpenDelivery;
  readonly served: Served;
}

export interface SettlerParts<M> {
  readonly channel: AmqpChannel;
  readonly deliveries: Deliveries;
  readonly delayLine: DelayLine;
  readonly target: Pick<ClaimTarget<M, unknown>, "giveUp" | "noteDeadLetter">;
  readonly attempts: number;
  readonly attemptDelayMs: number | ((attemptsMade: number) => number) | undefined;
  readonly report: (error: ExclaimError) => void;
}

/**
 * Tells RabbitMQ what became of a delivery: once, on the channel that delivered it, and only after what must outlast it is kept.
 * - complete: ack
 * - retry: a confirmed copy in a delay queue, then ack
 * - fail: the same with one attempt more, while there are attempts left; else as dead-letter
 * - dead-letter: the reason in the ledger, then nack without requeue
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
    const { served, counts } = delivery;
    const { disposition } = served;
    switch (disposition.do) {
      case "complete":
        this.#outages.over();
        return this.#tell((channel) => channel.ack(delivery.message));
      case "retry":
        if (disposition.error !== undefined) this.#tellOutage(disposition.error);
        return this.#putOff(delivery, disposition.delayMs, { ...counts, deferrals: counts.deferrals + 1 });
      case "fail": {
        const attemptsMade = counts.attemptsMade + 1;
        if (attemptsMade >= this.#parts.attempts || judge(disposition.error) === "final") {
          return this.#deadLetter(delivery, disposition.error);
        }
        return this.#putOff(delivery, this.#attemptDelayMs(attemptsMade), { ...counts, attemptsMade });
      }
      case "dead-letter":
        return this.#deadLetter(delivery, disposition.error);
    }
  }

  /** Gives a delivery back to its queue that could not be served at all. Not at once, or it would come back as fast as it went. */
  async giveBack({ message, open }: Pick<ServedDelivery<M>, "message" | "open">, delayMs: number): Promise<void> {
    await open.rest(delayMs);
    this.#tell((channel) => channel.nack(message, false, true));
  }

  async #putOff(delivery: ServedDelivery<M>, delayMs: number, counts: Counts): Promise<void> {
    const { message, queue } = delivery;
    try {
      await this.#parts.delayLine.putOff(message, queue, delayMs, counts);
    } catch (cause) {
      if (this.#parts.deliveries.isGone) return;
      const code = isExclaimError(cause) ? cause.code : "ABORTED";
      const text = `a message of ${queue} could not be put off and is given back to the queue: ${messageOf(cause)}`;
      this.#parts.report(new ExclaimError(code, text, { cause }));
      return this.giveBack(delivery, Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, delayMs)));
    }
    this.#tell((channel) => channel.ack(message));
  }

  async #deadLetter(delivery: ServedDelivery<M>, error: unknown): Promise<void> {
    const { target } = this.#parts;
    const { message, queue, counts, served } = delivery;
    const messageId = messageIdOf(message);
    try {
      if (!served.isDealtWith) await target.giveUp(message, messageId);
      await target.noteDeadLetter({
        queue,
        error,
        ...(messageId === undefined ? {} : { messageId }),
        ...(served.claimant === undefined ? {} : { claimant: served.claimant }),
      });
    } catch (fault) {
      // The broker keeps no reason: without our record nobody would ever know it.
      this.#tellOutage(fault);
      return this.#putOff(delivery, doubling(counts.deferrals), { ...counts, deferrals: counts.deferrals + 1 });
    }
    this.#tell((channel) => channel.nack(message, false, false));
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
