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

/** A disposition as a user writes it. */
export type Rule =
  | { readonly do: "retry" /** @default backoff with jitter, 250 ms to 30 s */; readonly delayMs?: number }
  | { readonly do: "fail"; readonly reason?: string }
  | { readonly do: "dead-letter"; readonly reason?: string }
  | { readonly do: "complete"; readonly result?: unknown };

/** What a rule may depend on. */
export interface RuleContext<M> {
  readonly message: M;
  readonly outcome: Outcome;
  readonly claimant: string;
  /** How often this message was put off so far; stalls count too. */
  readonly deferrals: number;
  /** Attempts burned before this delivery. */
  readonly attemptsMade: number;
}

export type RuleOption<M> = Rule | ((context: RuleContext<M>) => Rule);

/** What becomes of a delivery by its outcome. */
export interface SettlePolicy<M> {
  /** Somebody else works on the claimant's row. @default { do: "retry" } */
  readonly onContended?: RuleOption<M>;
  /** The pool has no free row. @default { do: "fail" } */
  readonly onEmpty?: RuleOption<M>;
  /** The picked row is somebody else's. @default { do: "fail" } */
  readonly onTaken?: RuleOption<M>;
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
