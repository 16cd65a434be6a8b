import type { Claim } from "../claim/claim.ts";
import type { PoolClaimRequest } from "../claim/pool.ts";
import type { ResourceClaimOptions } from "../claim/resource.ts";
import type { Outcome } from "../settle/outcome.ts";
import { claimOptionsOf, isUnidentified, keyOf, wantedBy } from "./bullmq-claim-request.ts";
import type { BullmqClaimOptions, BullmqJob, BullmqResourceOptions } from "./bullmq-options.ts";

/** What the adapter knows of one delivery of a job, whatever it claims. */
export type DeliveryFacts = Pick<PoolClaimRequest, "messageId" | "signal" | "lastAttempt" | "judge" | "waitMs">;

/** What the jobs of a Worker claim: rows of a pool, or keys of a resource. */
export interface ClaimTarget<J, R> {
  /** On whose behalf the job claims, or on which key it works. Throws when the job does not say. */
  claimantOf(job: J): string;
  claim<T>(job: J, facts: DeliveryFacts, handler: (claim: Claim<R>) => Promise<T>): Promise<Outcome<T>>;
  /** BullMQ has given the job up without asking. */
  giveUp(job: J): Promise<void>;
  jitter(): number;
}

export function poolTarget<J extends BullmqJob, R extends object>(options: BullmqClaimOptions<J, R>): ClaimTarget<J, R> {
  const { pool, onGiveUp = "keep" } = options;
  const sameForAll = claimOptionsOf(options);
  return {
    claimantOf: (job) => wantedBy(job, options).claimant,
    claim: (job, facts, handler) => pool.claim({ ...sameForAll, ...wantedBy(job, options), ...facts }, handler),
    async giveUp(job) {
      if (job.id === undefined) return;
      try {
        const { claimant, scope } = wantedBy(job, options);
        await pool.giveUp({ claimant, ...(scope === undefined ? {} : { scope }), messageId: job.id, onGiveUp });
      } catch (error) {
        // A job that names no claimant never had a claim.
        if (!isUnidentified(error)) throw error;
      }
    },
    jitter: () => pool.jitter(),
  };
}

export function resourceTarget<J extends BullmqJob>(options: BullmqResourceOptions<J>): ClaimTarget<J, undefined> {
  const { resource } = options;
  const sameForAll = resourceOptionsOf(options);
  return {
    claimantOf: (job) => keyOf(job, options),
    claim(job, { messageId, signal, waitMs }, handler) {
      const facts = {
        ...(messageId === undefined ? {} : { messageId }),
        ...(signal === undefined ? {} : { signal }),
        ...(waitMs === undefined ? {} : { waitMs }),
      };
      return resource.claim({ ...sameForAll, key: keyOf(job, options), ...facts }, handler);
    },
    // A lease ends by itself, and nothing of the resource stays behind.
    giveUp: async () => {},
    jitter: () => resource.jitter(),
  };
}

/** The options that are the same for every job, without those that are not set. */
function resourceOptionsOf({ mode, minIntervalMs, intervalFrom, maxHoldMs }: ResourceClaimOptions): ResourceClaimOptions {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(minIntervalMs === undefined ? {} : { minIntervalMs }),
    ...(intervalFrom === undefined ? {} : { intervalFrom }),
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
  };
}
