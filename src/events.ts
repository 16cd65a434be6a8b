import type { ExclaimError } from "./errors.ts";

/**
 * What exclaim tells about itself while it runs. A listener can neither break nor delay a claim: what it throws is dropped.
 */

/** What a claim is of: a row of a pool, for a claimant, or a key of a named resource. */
export type ClaimSubject =
  | { readonly pool: string; readonly claimant: string }
  | { readonly resource: string; readonly key: string };

/** Of which pool or resource a dead letter was; the claimant or key is not there where the message names none. */
export type DeadLetterSubject =
  | { readonly pool: string; readonly claimant?: string }
  | { readonly resource: string; readonly key?: string };

/** Every event and its payload; names are `subject:pastTense`. */
export interface ExclaimEvents {
  /** A claimant got a row, for the first time or again, or a key was claimed. */
  "claim:acquired": ClaimSubject & { readonly token: bigint; readonly attempt: number; readonly resumed: boolean };
  /** A delivery ended; `status` is the outcome's, `error` what it carries where it failed or was lost. */
  "claim:ended": ClaimSubject & { readonly status: string; readonly error?: unknown };
  /** A held claim can no longer be trusted; its signal was aborted. */
  "claim:lost": ClaimSubject & { readonly token: bigint; readonly reason: ExclaimError };
  /** A message was given up for good, and its reason recorded; the broker is told next. */
  "message:deadLettered": DeadLetterSubject & {
    readonly queue: string;
    readonly messageId?: string;
    /** Stable: an `ExclaimError`'s code, or `HANDLER_ERROR` for what a handler threw. */
    readonly code: string;
    readonly reason: string;
  };
  /** A row is free in its table though the ledger gives it to a claimant: somebody else wrote the owner column. */
  "pool:inconsistent": { readonly pool: string; readonly resourceId: string };
  /** The server answers commits that it may yet forget: what was acknowledged can be lost. Told once for each setting. */
  "database:unsafe": { readonly setting: string; readonly value: string };
  /** A lock held by itself can no longer be trusted; its signal was aborted. */
  "lock:lost": { readonly keys: readonly string[]; readonly reason: ExclaimError };
  /** Giving a lock back failed; it runs out by itself. */
  "lock:releaseFailed": { readonly key: string; readonly error: unknown };
  /** Something failed in the background that a later attempt makes good: a renewal, the end of a lease. */
  "background:failed": { readonly what: string; readonly error: unknown };
}

type Listener<E extends keyof ExclaimEvents> = (payload: ExclaimEvents[E]) => void;

/** A typed, synchronous event source. */
export class EventSource {
  readonly #listeners = new Map<keyof ExclaimEvents, Set<Listener<never>>>();

  /** Calls `listener` at every `event` from now on. Returns the function that ends it. */
  on<E extends keyof ExclaimEvents>(event: E, listener: Listener<E>): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<E extends keyof ExclaimEvents>(event: E, payload: ExclaimEvents[E]): void {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) return;
    for (const listener of listeners) {
      // A listener's fault is the listener's: the claim it watches must not pay for it, nor the process for a promise of it.
      try {
        const returned: unknown = (listener as (payload: ExclaimEvents[E]) => unknown)(payload);
        if (returned instanceof Promise) returned.catch(() => {});
      } catch {}
    }
  }
}
