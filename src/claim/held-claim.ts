import { ExclaimError, isExclaimError } from "../errors.ts";
import type { Lease } from "../lease/lease.ts";
import type { StoredResult, Transaction } from "../ledger/ledger.ts";
import type { Claim } from "./claim.ts";

/** What the ledger does for the claim under way, whatever it is a claim of. All throw FENCED when the token is no longer the newest. */
export interface ClaimRecord {
  /** Runs `work` under the fence; with `completion`, completes the claim in the same transaction with what that makes of its value. */
  transact<T>(work: (tx: Transaction) => Promise<T>, completion?: (value: T) => StoredResult): Promise<T>;
  /** What is kept of a result. Throws RESULT_NOT_SERIALIZABLE. */
  stored(result: unknown): StoredResult;
  /** Completes without a transaction of the handler's. */
  complete(result: StoredResult): Promise<void>;
  release(): Promise<void>;
}

/** What a claim under way needs of the engine. */
export interface HeldClaimPorts {
  readonly lease: Lease;
  /** A claim that ends is not renewed any more: the ledger would say that it is lost. */
  readonly renewal: { stop(): void; resume(): void };
  readonly record: ClaimRecord;
}

/** What a claim is about, as its handler sees it. */
export type ClaimFacts<R> = Pick<Claim<R>, "row" | "key" | "claimant" | "token" | "attempt" | "resumed">;

/**
 * `completing`, `releasing`: under way, or failed in a way that leaves open whether it happened. `ended`: the handler has thrown,
 * and what it left running must not go on.
 */
type State = "open" | "completing" | "completed" | "releasing" | "released" | "ended";

/** The claim as its handler holds it. */
export class HeldClaim<R> implements Claim<R> {
  readonly row: R;
  readonly key: string;
  readonly claimant: string;
  readonly token: bigint;
  readonly attempt: number;
  readonly resumed: boolean;
  readonly #ports: HeldClaimPorts;
  readonly #refusals = new Set<unknown>();
  #state: State = "open";
  #result: unknown;
  #ending: Promise<unknown> = Promise.resolve();

  constructor(facts: ClaimFacts<R>, ports: HeldClaimPorts) {
    this.row = facts.row;
    this.key = facts.key;
    this.claimant = facts.claimant;
    this.token = facts.token;
    this.attempt = facts.attempt;
    this.resumed = facts.resumed;
    this.#ports = ports;
  }

  get signal(): AbortSignal {
    return this.#ports.lease.signal;
  }

  get state(): State {
    return this.#state;
  }

  /** What was stored when the claim was completed. */
  get result(): unknown {
    return this.#result;
  }

  assertHeld(): void {
    this.#assertOpen();
    this.#ports.lease.assertHeld();
  }

  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    this.#assertOpen();
    this.#ports.lease.assertTrusted();
    return await this.#noting(this.#ports.record.transact((tx) => this.#fencedWork(tx, work)));
  }

  /**
   * Settles with the completion or release that the handler began last, also one it did not wait for. A failed one rejects here
   * unless a later one succeeded: a claim whose completion failed is not completed behind the handler's back.
   */
  async lastEnding(): Promise<void> {
    await this.#ending;
  }

  complete(): Promise<undefined>;
  complete<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  complete<T>(work?: (tx: Transaction) => Promise<T>): Promise<T | undefined> {
    const { state } = this;
    const completion = this.#complete(work);
    this.#began(completion, state);
    return completion;
  }

  async #complete<T>(work?: (tx: Transaction) => Promise<T>): Promise<T | undefined> {
    this.#assertOpen();
    this.#ports.lease.assertTrusted();
    this.#state = "completing";
    try {
      let result: T | undefined;
      if (work === undefined) {
        this.#ports.renewal.stop();
        await this.#noting(this.#ports.record.complete(undefined));
      } else {
        result = await this.#noting(
          this.#ports.record.transact(
            (tx) => this.#fencedWork(tx, work),
            (value) => {
              const stored = this.#ports.record.stored(value);
              this.#ports.renewal.stop();
              return stored;
            },
          ),
        );
      }
      this.#state = "completed";
      this.#result = result;
      return result;
    } catch (error) {
      // What was rolled back may be tried again by the handler; what may have been committed may not.
      if (!isUnknown(error, work === undefined)) {
        this.#state = "open";
        this.#ports.renewal.resume();
      }
      throw error;
    }
  }

  /** Completes with the handler's return value, unless the handler ended the claim itself. */
  async completeWith(result: unknown): Promise<void> {
    this.#assertOpen();
    const stored = this.#ports.record.stored(result);
    this.#ports.lease.assertTrusted();
    this.#state = "completing";
    this.#ports.renewal.stop();
    await this.#noting(this.#ports.record.complete(stored));
    this.#state = "completed";
    this.#result = result;
  }

  release(): Promise<void> {
    const { state } = this;
    const release = this.#release();
    this.#began(release, state);
    return release;
  }

  /** Whoever waits for an ending hears of its failure; a handler that does not must not end the process with it. */
  #began(ending: Promise<unknown>, before: State): void {
    ending.catch(() => {});
    // A second call that is refused says nothing of the ending under way.
    if (before === "open" && this.#state !== "open") this.#ending = ending;
  }

  async #release(): Promise<void> {
    if (this.#state === "released") return;
    this.#assertOpen();
    this.#ports.lease.assertTrusted();
    this.#state = "releasing";
    this.#ports.renewal.stop();
    try {
      await this.#noting(this.#ports.record.release());
      this.#state = "released";
    } catch (error) {
      if (!isUnknown(error, true)) {
        this.#state = "open";
        this.#ports.renewal.resume();
      }
      throw error;
    }
  }

  /** The handler has thrown: whatever of it still runs is told, and can do nothing more under this claim. */
  end(reason: ExclaimError): void {
    if (this.#state === "completed" || this.#state === "released") return;
    this.#state = "ended";
    this.#ports.lease.cancel(reason);
  }

  /** Whether the ledger threw this very error about this claim: one of another claim, made inside the handler, says nothing of it. */
  wasRefused(error: unknown): boolean {
    return this.#refusals.has(error);
  }

  async #noting<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      this.#refusals.add(error);
      throw error;
    }
  }

  /** The deadline may pass while `work` runs: nothing it wrote is committed then. */
  async #fencedWork<T>(tx: Transaction, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const value = await work(tx);
    this.#ports.lease.assertTrusted();
    return value;
  }

  #assertOpen(): void {
    if (this.#state === "open") return;
    throw new ExclaimError("CLAIM_ENDED", `the claim is ${this.#state} already: nothing more can be done under it`, {
      claimant: this.claimant,
    });
  }
}

/** Whether it may have happened all the same. A statement of its own that was not answered may have; a transaction's fate is asked. */
function isUnknown(error: unknown, isStatement: boolean): boolean {
  return isExclaimError(error, "COMMIT_UNKNOWN") || (isStatement && isExclaimError(error, "DATABASE_UNREACHABLE"));
}
