import type pg from "pg";
import type { Claim, Pool } from "../../index.ts";
import type { TargetOptions, TargetSource } from "../../outbox/target-of.ts";

/**
 * What the demo needs of a message broker. Each file of `brokers/` is one; nothing else knows which of them is at work.
 *
 * The parent publishes and looks on, through a `DemoQueue`; each pod consumes, with a handler written by hand or with `withClaim()`.
 */

/** Where the messages are kept. Plain data, so that a pod can be told. */
export type BrokerSettings =
  | { readonly kind: "postgres"; readonly url: string; readonly schema: string }
  | { readonly kind: "redis"; readonly url: string; readonly prefix: string }
  | { readonly kind: "rabbitmq"; readonly url: string };

/** What the demo tells of a user to be given a voucher. */
export interface SignUp {
  readonly user_id: number;
}

/** A message as it is published, and as a handler gets it. */
export interface VoucherMessage {
  readonly id: string;
  readonly data: SignUp;
}

/** What a user is to be told: which voucher is theirs. */
export interface Notification {
  readonly user_id: number;
  readonly code: string;
}

/** A handler that knows nothing of exclaim. A message whose handler throws is tried three times, soon after one another. */
export type Handler<D = SignUp> = (message: { readonly id: string; readonly data: D }) => Promise<void>;

/** A row of the pool. */
export interface Voucher {
  id: number;
  code: string;
  user_id: number;
}

/** A handler that runs with a claimed voucher, and what `withClaim()` is told beside it, the same for every broker. */
export interface ClaimingHandler {
  readonly handler: (message: VoucherMessage, claim: Claim<Voucher>) => Promise<void>;
  readonly options: {
    readonly pool: Pool<Voucher>;
    readonly claimant: (message: Pick<VoucherMessage, "data">) => string;
    readonly onContended: { readonly do: "retry"; readonly delayMs: number };
  };
}

/** What one pod consumes. */
export interface Consuming {
  readonly queue: string;
  /** Messages at a time. */
  readonly concurrency: number;
  /** Finds the variant's tables in its search path. */
  readonly database: pg.Pool;
  /** Told of what goes wrong beside the messages' own failures. */
  readonly onError: (error: Error) => void;
}

export interface Consumer {
  /** Rejects when no message can come any more though nobody called `close`. */
  readonly ended: Promise<void>;
  /** Takes no more messages, and finishes those it is at. */
  close(): Promise<void>;
}

/** The queue of one variant, as its producer sees it. */
export interface DemoQueue {
  /** After: the broker keeps every message, under the id it was given. Throws REFUSED: it does not. */
  publish(messages: readonly VoucherMessage[]): Promise<void>;
  /** How many messages have completed or failed for good. */
  countSettled(): Promise<number>;
  /** Writes into the column `message.settled_as` what became of each message: completed, failed, or null. */
  recordSettled(): Promise<void>;
  /** After: nothing of the queue is left on the broker, and no connection to it. */
  remove(): Promise<void>;
}

/** A queue as a dispatcher of the outbox sends to it. */
export interface DemoTarget extends TargetOptions {
  readonly to: TargetSource;
  close(): Promise<void>;
}

export interface Broker {
  /** Makes what every queue needs. Returns, for people, which broker it is. Throws CONFIG_INVALID: it does not answer. */
  prepare(): Promise<string>;
  /**
   * Makes a queue. The caller removes it.
   * Shape: `name` is one that nobody else uses; `database` finds the variant's tables in its search path.
   */
  openQueue(name: string, database: pg.Pool): Promise<DemoQueue>;
  /** Resolves once messages are taken. The caller closes the consumer. */
  consume<D = SignUp>(consuming: Consuming, handler: Handler<D>): Promise<Consumer>;
  /** The same with exclaim's adapter for the broker. */
  consumeWithClaim(consuming: Consuming, claiming: ClaimingHandler): Promise<Consumer>;
  /** Connects to a queue that is there, for messages of the outbox. The caller closes it. */
  openTarget(name: string): Promise<DemoTarget>;
}
