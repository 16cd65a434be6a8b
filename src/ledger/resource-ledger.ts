import type { ExclaimError } from "../errors.ts";
import type { EndAnswer, EndOptions, Transaction } from "./ledger.ts";

/**
 * The contract of what the ledger remembers of named resources: who has which key, without a table of the user's. Postgres is the
 * authority; the memory one obeys the same suite and serves simulations.
 *
 * States of a lease, one for each (resource, key):
 *
 *     (none) --take--> held --end completed--> completed --take--> held (token + 1, attempt 1)
 *                       |  --end failed-----> failed ----take--> held (token + 1, attempt + 1)
 *                       +  --lease over-----> (still held) -take--> held (token + 1, attempt + 1)
 *     any but held by a live lease --shared take--> shared, until its last sharer has ended or run out
 *
 * Invariants:
 * - at most one live exclusive lease for a key, and none beside live sharers;
 * - the token of a key grows by one at every arrow that ends in held, and with every group of sharers, in commit order (S3);
 * - no take before the instant that the spacing of an earlier one set;
 * - only the newest token, and its own holder, can end or renew a lease, or write under it (S4).
 *
 * Every method takes many at once and answers each, in the order asked. Contention and loss are answers; a throw means the
 * whole call failed, and for DATABASE_UNREACHABLE that what happened is unknown: call again with the same arguments.
 */
export interface ResourceLedger {
  /**
   * Gives each request the lease of its key, or says when to come back.
   * After: `held` answers are durable and leased for `ttlMs` from a moment not before this call was made.
   * Died in between: the lease runs out, and the key's next take is a further attempt.
   * Calling again with the same `holder` finds the take made before: the same token, and the lease renewed.
   */
  take(batch: TakeBatch): Promise<readonly TakeAnswer[]>;

  /** Makes leases last `ttlMs` from now, also one that ran out unless somebody took since. `lost`: it has ended or was taken. */
  renew(leases: readonly ResourceRef[], ttlMs: number): Promise<readonly EndAnswer[]>;

  /** Ends leases at once. `done` also when this very token and holder ended it before and nobody took since. */
  end(ends: readonly LeaseEnd[], options?: EndOptions): Promise<readonly EndAnswer[]>;
}

/** Writes that commit only under the newest token; beside `ResourceLedger`, since only a database can do it. */
export interface ResourceTransactions {
  /**
   * Runs `work` in one transaction in which the lease's token is the newest and stays so until commit, whether or not the lease has run
   * out meanwhile; with `ends`, the same transaction also ends the lease as completed.
   * After: all of it is committed. Died in between: none of it is.
   * Throws as `FencedTransactions.transact` does.
   */
  transact<T>(
    lease: ResourceRef,
    work: (tx: Transaction) => Promise<T>,
    options?: { /** @default false */ readonly ends?: boolean },
  ): Promise<T>;
}

/** What a lease is about, and its fence. Sharers have one token and are told apart by their holders. */
export interface ResourceRef {
  readonly resource: string;
  readonly key: string;
  readonly holder: string;
  readonly token: bigint;
}

/** Requests for keys of one resource. */
export interface TakeBatch {
  readonly resource: string;
  readonly ttlMs: number;
  readonly requests: readonly TakeRequest[];
}

export interface TakeRequest {
  readonly key: string;
  /** Random per acquisition: recognises our own take after a lost answer. One that has ended its exclusive lease takes no other. */
  readonly holder: string;
  /**
   * `shared`: beside any number of sharers, while no exclusive lease is live; who takes only after the last has ended waits for as long
   * as others join. A sharer is always at attempt 1, resumes nothing and leaves the attempts of exclusive takes as they are.
   */
  readonly mode: "exclusive" | "shared";
  readonly spacing: Spacing;
  /** The broker's id of the message, for people who look into the ledger. */
  readonly messageId: string | null;
}

/**
 * How long a key rests between two takes. What one take sets holds for all later ones, whatever their own spacing.
 * - `none`: sets nothing;
 * - `start`: the next take at least `minIntervalMs` after this one;
 * - `end`: the next take at least `minIntervalMs` after this lease has ended, or, after a crash, has run out;
 * - `beat`: the next take at the next point of a grid that earlier takes were on, `intervalMs` apart, or else at the first point of a
 *   grid that starts now. Missed points are skipped, and so is one less than half an interval after a take that came late.
 * Unit: ms, from 0, for `beat` from 1. Only for exclusive takes: sharers begin and end whenever they like, so nothing lies between them.
 */
export type Spacing =
  | { readonly from: "none" }
  | { readonly from: "start" | "end"; readonly minIntervalMs: number }
  | { readonly from: "beat"; readonly intervalMs: number };

export type TakeAnswer =
  | {
      readonly status: "held";
      readonly lease: ResourceRef;
      /** From 1; counts exclusive takes since the last that completed. */
      readonly attempt: number;
      /** The exclusive take before did not complete: it failed or its process died. */
      readonly resumed: boolean;
    }
  | {
      readonly status: "contended";
      /** When the live leases and the spacing known now are over, at least 1; a short time where nobody can tell. */
      readonly retryAfterMs: number;
      /** Nobody has the key: it rests. */
      readonly tooEarly: boolean;
    }
  /** This request alone could not be tried; the others of its batch were. */
  | { readonly status: "refused"; readonly error: ExclaimError };

export interface LeaseEnd {
  readonly lease: ResourceRef;
  readonly how: "completed" | "failed";
}
