import type { ExclaimError } from "../errors.ts";

/**
 * What came of a delivery.
 * Contention, emptiness, a taken row and a replay are outcomes; `lost` and `failed` carry the error.
 */
export type Outcome<R = unknown> =
  /** `isReleased`: the handler gave its row or key back, so that the claimant has none. */
  | { readonly status: "completed"; readonly result: R; readonly isReleased?: true }
  /** An earlier delivery completed this claim; the handler did not run. */
  | { readonly status: "replayed"; readonly result: R }
  /**
   * Somebody else works on it. `retryAfterMs`: when it is worth asking again, as the server knows, or a short time. `tooEarly`: nobody does, but the
   * resource's minimum interval is not over; it is after exactly that time.
   */
  | { readonly status: "contended"; readonly retryAfterMs: number; readonly tooEarly?: true }
  /** No free row, found by a read that skips no lock. */
  | { readonly status: "empty" }
  /** The row picked by id is not free. */
  | { readonly status: "taken" }
  /** The claim could no longer be trusted before it was completed; another delivery resumes it. */
  | { readonly status: "lost"; readonly error: ExclaimError }
  /** The handler threw, or something broke: `error` is what was thrown, untouched. */
  | { readonly status: "failed"; readonly error: unknown };
