import type { PoolDeliveryOptions, ResourceDeliveryOptions } from "./claim-options.ts";

/** What is used of a BullMQ `Job`, of either major and of a sandboxed processor. */
export interface BullmqJob {
  readonly id?: string | undefined;
  /** Attempts that failed before this one. */
  readonly attemptsMade: number;
  /** How often a worker picked the job up, this time included. */
  readonly attemptsStarted: number;
  /** Set once the job has ended for good. */
  readonly finishedOn?: number | undefined;
  readonly opts: { readonly attempts?: number | undefined };
  moveToDelayed(timestamp: number, token?: string): Promise<void>;
}

/**
 * How the jobs of a Worker are claimed.
 * Shape: `J` is the job type of the handler, `R` the row of the pool.
 */
export interface BullmqClaimOptions<J, R extends object> extends PoolDeliveryOptions<J, R> {}

/**
 * How the jobs of a Worker claim the keys of a named resource.
 * Shape: `J` is the job type of the handler.
 */
export interface BullmqResourceOptions<J> extends ResourceDeliveryOptions<J> {}
