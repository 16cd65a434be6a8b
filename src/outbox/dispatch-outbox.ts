/**
 * The entry `exclaim/outbox`: moves what fenced transactions published from the outbox to a broker.
 */
import { systemClock } from "../clock.ts";
import { systemRandom } from "../random.ts";
import { amqplibTarget } from "./amqplib.ts";
import { bullmqTarget } from "./bullmq.ts";
import { Dispatcher } from "./dispatcher.ts";
import { dispatcherSettings } from "./dispatcher-settings.ts";
import type { OutboxDispatcher, OutboxOptions, TopicTarget } from "./outbox-options.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "./target.ts";
import type { TargetOptions, TargetSource } from "./target-of.ts";

export type {
  MessageTarget,
  OutboxDispatcher,
  OutboxOptions,
  OutgoingMessage,
  SendAnswer,
  TargetOptions,
  TargetSource,
  TopicTarget,
};
export { amqplibTarget, bullmqTarget };

/**
 * Starts to send the messages of the outbox, at least once each, under their ids, until it is closed. Any number of dispatchers may run
 * side by side, in this process and in others, also through a pooler in transaction mode.
 * Order: of the messages of one claimant, or of one key of a resource, that go to one destination, none is sent before an earlier one is
 * sent or parked. A message that the broker refuses is tried again, later ones of its claimant waiting meanwhile, and is parked after
 * `maxAttempts`; a broker that cannot be reached costs no attempt.
 * Connections: one while it sends a batch, and one that listens for what is published. With `max: 1` in the pool, or no connection to be
 * had, it does not listen but polls.
 * After: messages are sent within moments of their commit. The process stays alive until `close()`.
 * Died in between: at most one batch is sent again, under the same ids.
 * Throws CONFIG_INVALID. Whatever fails later is told to `onError` and tried again.
 */
export function dispatchOutbox(options: OutboxOptions): OutboxDispatcher {
  return new Dispatcher(dispatcherSettings(options, systemClock, systemRandom));
}
