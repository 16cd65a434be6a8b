/**
 * A broker as a test sees it that works with pods: what is sent, what has ended, and what was refused. One file a broker; what a pod
 * needs of it is in a file of its own, which runs in the pod's process.
 */
export interface Broker {
  readonly url: string;
  /** Sends a sign-up for each user, in this order, as the messages m-0, m-1, ... Resolves once the broker has them all. */
  send(users: readonly number[]): Promise<void>;
  /** How many of the messages have ended: served, or refused for good. */
  ended(): Promise<number>;
  /** What came of the messages. Once no pod runs: what a pod had in its hands is then in its queue again, where it is counted. */
  account(): Promise<Account>;
  stop(): Promise<void>;
}

export interface Account {
  /** How often a message waits that has not ended. */
  readonly left: number;
  /** Different messages that have ended. */
  readonly ended: number;
  /** Messages that were refused, each as often as the broker keeps it. */
  readonly refused: readonly Refusal[];
}

export interface Refusal {
  readonly userId: number;
  readonly reason: string;
}

/** The brokers that the tests with pods run over. */
export type BrokerName = "BullMQ" | "RabbitMQ";

/** What a message of a sign-up holds, whichever broker carries it. */
export interface SignUp {
  readonly user_id: number;
}
