import type pg from "pg";
import type { FinalMessage } from "../checker/history.ts";
import { openBullmq } from "./bullmq-queues.ts";
import type { BrokerName } from "./failpoint.ts";
import type { ChaosMessage, QueueNames } from "./pod-messages.ts";
import { openRabbitmq } from "./rabbitmq-queues.ts";

/** A message, and the queue it goes to. */
export interface Outgoing extends ChaosMessage {
  readonly queue: keyof QueueNames;
  /** How often it is tried where the broker counts that for each message. */
  readonly attempts: number;
}

export type FinalState = Pick<FinalMessage, "message" | "state">;

/** The queues of one episode, as the nemesis sees them: what is sent, whether all has ended, and what became of each message. */
export interface ChaosBroker {
  send(messages: readonly Outgoing[]): Promise<void>;
  /** How many messages have not ended; 0 once all have. */
  open(): Promise<number>;
  /** The faults are over: what waits for a later time waits no longer, where the broker can do that. */
  hurry(): Promise<void>;
  /** Once no pod runs: one of each copy that there is, or one of a message that is gone. Throws when it did not see all. */
  finalStates(): Promise<readonly FinalState[]>;
  /** Deletes the queues. */
  close(): Promise<void>;
}

export interface BrokerOptions {
  readonly url: string;
  readonly queues: QueueNames;
  readonly database: pg.Pool;
}

export function openBroker(broker: BrokerName, options: BrokerOptions): Promise<ChaosBroker> {
  return broker === "bullmq" ? openBullmq(options) : openRabbitmq(options);
}
