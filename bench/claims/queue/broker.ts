import type { Pool } from "exclaim";

/** What every job brings: a claimant that no other job has. */
export interface Voucherless {
  readonly user_id: number;
}

/** The columns of a voucher table that handlers use. */
export interface Voucher {
  readonly id: string;
  readonly code: string;
}

/** What a consumer does with a job: serves it by itself, or wraps its handler in the broker's own `withClaim` over the pool. */
export type Work =
  | { readonly kind: "plain"; serve(data: Voucherless): Promise<unknown> }
  | { readonly kind: "claim"; readonly pool: Pool<Voucher> };

/** Where the broker is, and which queue of it. */
export interface QueuePlace {
  readonly urls: readonly string[];
  /** Of one case's own. */
  readonly queue: string;
}

/** The parent's side. */
export interface Supply {
  /** Adds a job for each user from `firstUser` on, durably as the broker has it, while nobody consumes. */
  fill(firstUser: number, jobs: number): Promise<void>;
  /** Whatever is left in the queue: waiting, in delivery, put off, failed. */
  left(): Promise<number>;
  close(): Promise<void>;
}

/** What happens on a pod. */
export interface Served {
  /** A job was settled: the broker has acknowledged it, as far as it tells. */
  onSettled(): void;
  /** A job failed, or the consumer did. The round is void then. */
  onFault(error: Error): void;
}

/** A pod's side. */
export interface Consumer {
  /** Begins to take jobs; after: the consumer is at work. */
  start(): Promise<void>;
  /** Takes no more. The queue is empty by then. `start` may follow. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** One way to bring messages to handlers. */
export interface Broker {
  /** Declares the queue if the broker wants that. */
  supply(place: QueuePlace): Promise<Supply>;
  /** Connected, warm and not taking jobs. */
  consume(place: QueuePlace & { readonly concurrency: number }, work: Work, served: Served): Promise<Consumer>;
}
