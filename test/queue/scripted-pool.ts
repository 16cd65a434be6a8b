import type { Claim } from "../../src/claim/claim.ts";
import type { DeadLetterNote } from "../../src/claim/note-dead-letter.ts";
import type { GiveUpRequest, Pool, PoolClaimRequest } from "../../src/claim/pool.ts";
import type { RowNote } from "../../src/claim/row-note.ts";
import type { Outcome } from "../../src/settle/outcome.ts";

export interface Voucher {
  readonly id: number;
  readonly code: string;
}

/** "run" calls the handler and makes an outcome of how it ended, as the engine does. */
export type Answer = "run" | Outcome;

/** A pool that answers as the test says: the n-th claim gets the n-th answer, later ones the last. */
export class ScriptedPool implements Pool<Voucher> {
  readonly name = "voucher_item";
  readonly requests: PoolClaimRequest[] = [];
  readonly givenUp: GiveUpRequest[] = [];
  readonly deadLetters: DeadLetterNote[] = [];
  readonly accounted: RowNote[] = [];
  /** What comes of a handler that throws. @default failed, as in the engine, also where it was aborted by its caller */
  whenHandlerThrows: ((error: unknown) => Outcome<never>) | undefined;
  /** What `giveUp` does after it was noted. */
  onGiveUp: () => Promise<void> = async () => {};
  /** What `noteDeadLetter` does after it was noted. */
  onDeadLetter: () => Promise<void> = async () => {};
  /** What `accountRow` does after it was noted. */
  onAccount: () => Promise<void> = async () => {};
  readonly #answers: readonly Answer[];

  constructor(...answers: readonly Answer[]) {
    this.#answers = answers.length === 0 ? ["run"] : answers;
  }

  async claim<T>(request: PoolClaimRequest, handler: (claim: Claim<Voucher>) => Promise<T>): Promise<Outcome<T>> {
    this.requests.push(request);
    const answer = this.#answers[Math.min(this.requests.length, this.#answers.length) - 1] ?? "run";
    if (answer !== "run") return answer as Outcome<T>;
    try {
      return { status: "completed", result: await handler(heldClaim(request, this.requests.length)) };
    } catch (error) {
      if (this.whenHandlerThrows !== undefined) return this.whenHandlerThrows(error);
      return { status: "failed", error };
    }
  }

  async giveUp(request: GiveUpRequest): Promise<void> {
    this.givenUp.push(request);
    await this.onGiveUp();
  }

  async noteDeadLetter(letter: DeadLetterNote): Promise<void> {
    this.deadLetters.push(letter);
    await this.onDeadLetter();
  }

  async accountRow(note: RowNote): Promise<void> {
    this.accounted.push(note);
    await this.onAccount();
  }

  jitter(): number {
    return 0;
  }
}

function heldClaim(request: PoolClaimRequest, attempt: number): Claim<Voucher> {
  return {
    row: { id: 1, code: "SUMMER-1" },
    key: "1",
    claimant: request.claimant,
    token: BigInt(attempt),
    attempt,
    resumed: false,
    signal: request.signal ?? new AbortController().signal,
    assertHeld() {},
    transaction: () => Promise.reject(new Error("not scripted")),
    complete: () => Promise.reject(new Error("not scripted")),
    release: () => Promise.reject(new Error("not scripted")),
  };
}

/** Ends when the signal aborts, with its reason. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
