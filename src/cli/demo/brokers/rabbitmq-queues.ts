import type { ChannelModel } from "amqplib";
import { declareTopology, delayQueueOf } from "../../../queue/amqplib-topology.ts";

/** Messages that fail are tried so often, this far apart; the same for every handler. */
export const ATTEMPTS = 3;
export const ATTEMPT_DELAY_MS = 100;

/** How long messages can wait: between attempts, and until the claimant of another one is free. */
export const DELAYS_MS: readonly number[] = [ATTEMPT_DELAY_MS, 250];

/** What stands on the broker for one variant. */
export interface RabbitmqQueues {
  readonly work: string;
  /** Messages that have failed for good. */
  readonly dead: string;
  /** Whatever is in it comes back to the work queue after `ATTEMPT_DELAY_MS`. */
  readonly retry: string;
  readonly all: readonly string[];
}

export function queuesOf(name: string): RabbitmqQueues {
  const delays = DELAYS_MS.map((delayMs) => delayQueueOf(name, delayMs, "quorum").name);
  const dead = `${name}.dead`;
  const retry = delayQueueOf(name, ATTEMPT_DELAY_MS, "quorum").name;
  return { work: name, dead, retry, all: [name, dead, ...delays] };
}

/** Declares them, so that the variants differ in their handlers and in nothing else. */
export async function declareQueues(connection: ChannelModel, { work, dead }: RabbitmqQueues): Promise<void> {
  const channel = await connection.createChannel();
  await declareTopology(channel, work, { delaysMs: DELAYS_MS, deadLetterQueue: dead });
  await channel.close();
}

/** After: none of them is there, whichever were. */
export async function deleteQueues(connection: ChannelModel, { all }: RabbitmqQueues): Promise<void> {
  const channel = await connection.createChannel();
  for (const name of all) await channel.deleteQueue(name);
  await channel.close();
}
