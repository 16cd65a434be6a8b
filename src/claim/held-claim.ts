import { ExclaimError, isExclaimError } from "../errors.ts";
import type { ClaimRef, FencedTransactions, StoredResult, Transaction } from "../ledger/ledger.ts";
import type { Claim } from "./claim.ts";
import type { Lease } from "./lease.ts";
import { storedResult } from "./stored-result.ts";

/** What a claim under way needs of the engine. */
export interface HeldClaimPorts {
  readonly lease: Lease;
  readonly transactions: FencedTransactions;
  /** Completes without a transaction of the handler's. Throws FENCED when the token is no longer the newest. */
  readonly complete: (claim: ClaimRef, result: StoredResult) => Promise<void>;
  readonly release: (claim: ClaimRef) => Promise<void>;
}

/** `completing`: a completion is under way, or failed in a way that leaves open whether it happened. */
type State = "open" | "completing" | "completed" | "released";

/** The claim as its handler holds it. */
export class HeldClaim<R> implements Claim<R> {
  readonly row: R;
  readonly key: string;
  readonly claimant: string;
  readonly token: bigint;
  readonly attempt: number;
  readonly resumed: boolean;
  readonly #ports: HeldClaimPorts;
  #state: State = "open";
  #result: unknown;

  constructor(answer: { claim: ClaimRef; row: R; attempt: number; resumed: boolean }, ports: HeldClaimPorts) {
    this.row = answer.row;
    this.key = answer.claim.resourceId;
    this.claimant = answer.claim.claimant;
    this.token = answer.claim.token;
    this.attempt = answer.attempt;
    this.resumed = answer.resumed;
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
    return await this.#ports.transactions.transact(this.#ports.lease.claim, (tx) => this.#fencedWork(tx, work));
  }

  async complete<T>(work?: (tx: Transaction) => Promise<T>): Promise<T | undefined> {
    this.#assertOpen();
    this.#ports.lease.assertTrusted();
    this.#state = "completing";
    try {
      let result: T | undefined;
      if (work === undefined) await this.#ports.complete(this.#ports.lease.claim, undefined);
      else {
        result = await this.#ports.transactions.transact(
          this.#ports.lease.claim,
          (tx) => this.#fencedWork(tx, work),
          (value) => storedResult(value),
        );
      }
      this.#state = "completed";
      this.#result = result;
      return result;
    } catch (error) {
      // What was rolled back may be tried again by the handler; what may have been committed may not.
      if (!isExclaimError(error, "COMMIT_UNKNOWN")) this.#state = "open";
      throw error;
    }
  }

  /** Completes with the handler's return value, unless the handler ended the claim itself. */
  async completeWith(result: unknown): Promise<void> {
    const stored = storedResult(result);
    this.#ports.lease.assertTrusted();
    this.#state = "completing";
    await this.#ports.complete(this.#ports.lease.claim, stored);
    this.#state = "completed";
    this.#result = result;
  }

  async release(): Promise<void> {
    if (this.#state === "released") return;
    this.#assertOpen();
    this.#ports.lease.assertTrusted();
    await this.#ports.release(this.#ports.lease.claim);
    this.#state = "released";
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
