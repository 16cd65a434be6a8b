import type { Outcome } from "./outcome.ts";

/** What the broker is told. */
export type Disposition =
  /** Done; `result` is what the broker stores, where it stores one. */
  | { readonly do: "complete"; readonly result: unknown }
  /** Deliver again after `delayMs`, without burning an attempt. */
  | { readonly do: "retry"; readonly delayMs: number /** What is away, when that is why. */; readonly error?: unknown }
  /** Burns an attempt; the broker's own attempts and backoff apply. */
  | { readonly do: "fail"; readonly error: unknown }
  /** Never deliver again; kept where failed messages are kept, with the reason. */
  | { readonly do: "dead-letter"; readonly error: unknown };

/** Not settled yet: claim once more, waiting up to `waitMs`, and decide on what comes of that. */
export interface ClaimAgain {
  readonly do: "wait";
  readonly waitMs: number;
}

/** A disposition as a user writes it. */
export type Rule =
  | { readonly do: "retry" /** @default backoff with jitter, 250 ms to 30 s */; readonly delayMs?: number }
  | { readonly do: "fail"; readonly reason?: string }
  | { readonly do: "dead-letter"; readonly reason?: string }
  | { readonly do: "complete"; readonly result?: unknown };

/** What may be done about contention, beside the rules for all outcomes. */
export type ContentionRule =
  | Rule
  /** Wait here, with the message unsettled, for at most this long; else do `otherwise`. A rule that is a function is asked again then. */
  | { readonly do: "wait"; readonly upToMs: number /** @default { do: "retry" } */; readonly otherwise?: Rule }
  /**
   * Somebody works on it, or has just done so, and that is enough: the message is done. One that was begun or put off before is put off
   * instead, since what is in its way may be its own earlier delivery.
   */
  | { readonly do: "drop" };

/** What a rule may depend on. */
export interface RuleContext<M> {
  readonly message: M;
  readonly outcome: Outcome;
  /** The claimant, or the key of a named resource. */
  readonly claimant: string;
  /** How often this message was put off so far; stalls count too. */
  readonly deferrals: number;
  /** Attempts burned before this delivery. */
  readonly attemptsMade: number;
}

export type RuleOption<M, R = Rule> = R | ((context: RuleContext<M>) => R);

/** What becomes of a delivery by its outcome, whatever it claims. */
export interface DeliveryPolicy<M> {
  /** Somebody else works for the claimant or on the key, or the key's interval is not over. @default { do: "retry" } */
  readonly onContended?: RuleOption<M, ContentionRule>;
  /** The lease was lost while the handler ran. @default { do: "retry" } */
  readonly onLost?: RuleOption<M>;
  /**
   * How often one message may be put off by these rules before it fails, visibly.
   * A message whose servers are unreachable is put off beyond it, until they are back. Where the broker keeps one count for both
   * (BullMQ does), those times count once the message is next contended.
   * @default 10_000
   */
  readonly maxDeferrals?: number;
}

/** The same for a pool, which can have nothing to give. */
export interface SettlePolicy<M> extends DeliveryPolicy<M> {
  /** The pool has no free row. @default { do: "fail" } */
  readonly onEmpty?: RuleOption<M>;
  /** The picked row is somebody else's. @default { do: "fail" } */
  readonly onTaken?: RuleOption<M>;
}
