import { ExclaimError, isExclaimError } from "../errors.ts";
import type { Outcome } from "./outcome.ts";
import type { ClaimAgain, ContentionRule, Disposition, Rule, RuleContext, RuleOption, SettlePolicy } from "./policy.ts";

export const DEFAULT_MAX_DEFERRALS = 10_000;
export const MIN_RETRY_MS = 250;
export const MAX_RETRY_MS = 30_000;

/** 250 ms doubled so often is 4 s. */
const SHORT_HINT_DOUBLINGS = 4;

/** What keeps a handler from starting and will pass: nothing is wrong with the message, so it is put off without a bound. */
const PASSING = ["LOCK_UNREACHABLE", "DATABASE_UNREACHABLE", "SCHEMA_OUTDATED", "CLOSED"] as const;

/** Faults of the message or of the program that another attempt cannot mend. */
const HOPELESS = [
  "CLAIMANT_MISSING",
  "CLAIMANT_INVALID",
  "SCOPE_INVALID",
  "PICK_INVALID",
  "KEY_MISSING",
  "KEY_INVALID",
  "MESSAGE_INVALID",
  "RESULT_NOT_SERIALIZABLE",
] as const;

/** Why a delivery got no row, for people. */
export const NO_ROW = {
  empty: "empty: the pool has no free row",
  taken: "taken: the picked row is not free: somebody has it, or where does not hold",
  contended: "contended: another delivery is at work, or it is too early for the next",
} as const;

/**
 * Turns an outcome into what the broker is told. Pure: the same arguments give the same disposition.
 * `fraction` in [0, 1) is the caller's chance, used as jitter. `hasWaited`: the outcome is that of a claim that waited as a rule said.
 */
export function decide<M>(
  outcome: Outcome,
  policy: SettlePolicy<M>,
  context: RuleContext<M>,
  fraction: number,
): Disposition | ClaimAgain;
export function decide<M>(
  outcome: Outcome,
  policy: SettlePolicy<M>,
  context: RuleContext<M>,
  fraction: number,
  hasWaited: true,
): Disposition;
export function decide<M>(
  outcome: Outcome,
  policy: SettlePolicy<M>,
  context: RuleContext<M>,
  fraction: number,
  hasWaited = false,
): Disposition | ClaimAgain {
  switch (outcome.status) {
    case "completed":
    case "replayed":
      return { do: "complete", result: outcome.result };
    case "contended":
      return contended(chosen(policy.onContended ?? { do: "retry" }));
    case "empty":
      return bounded(chosen(policy.onEmpty ?? { do: "fail" }), NO_ROW.empty);
    case "taken":
      return bounded(chosen(policy.onTaken ?? { do: "fail" }), NO_ROW.taken);
    case "lost":
      return bounded(chosen(policy.onLost ?? { do: "retry" }), outcome.error.message, outcome.error);
    case "failed":
      if (isPassing(outcome.error)) return outageRetry(outcome.error, context.deferrals, fraction);
      if (HOPELESS.some((code) => isExclaimError(outcome.error, code))) return { do: "dead-letter", error: outcome.error };
      return { do: "fail", error: outcome.error };
  }

  function chosen<R>(option: RuleOption<M, R>): R {
    return typeof option === "function" ? (option as (context: RuleContext<M>) => R)(context) : option;
  }

  function contended(rule: ContentionRule): Disposition | ClaimAgain {
    const reason = NO_ROW.contended;
    // What this very message began, and did not finish, is nobody else's work: that it is in the way of itself must not end it.
    const hasBegun = context.attemptsMade > 0 || context.deferrals > 0;
    if (rule?.do === "drop") return hasBegun ? bounded({ do: "retry" }, reason) : { do: "complete", result: undefined };
    if (rule?.do !== "wait") return bounded(rule, reason);
    return hasWaited ? bounded(rule.otherwise ?? { do: "retry" }, reason) : { do: "wait", waitMs: rule.upToMs };
  }

  function bounded(rule: Rule, reason: string, error?: unknown): Disposition {
    switch (rule?.do) {
      case "complete":
        return { do: "complete", result: rule.result };
      case "fail":
      case "dead-letter":
        return { do: rule.do, error: error ?? refusal(rule.reason ?? reason, context.claimant) };
      case "retry": {
        const limit = policy.maxDeferrals ?? DEFAULT_MAX_DEFERRALS;
        if (context.deferrals >= limit && !isTooEarly(outcome)) {
          return { do: "fail", error: refusal(`${reason}; put off ${limit} times (maxDeferrals)`, context.claimant, error) };
        }
        return { do: "retry", delayMs: retryDelayMs(rule, outcome, context.deferrals, fraction) };
      }
      default:
        return {
          do: "fail",
          error: new ExclaimError(
            "CONFIG_INVALID",
            `the rule for "${outcome.status}" gave no disposition: return { do: ${doable(outcome)} }`,
          ),
        };
    }
  }
}

/** What is done about a message that only waits for a server: put off without a bound, and `error` is told. */
export function outageRetry(error: unknown, deferrals: number, fraction: number) {
  return { do: "retry", delayMs: backoffMs(deferrals, fraction), error } as const;
}

/** Nothing is wrong with it: a key that is asked for more often than its interval allows has a queue, and serves it in its time. */
function isTooEarly(outcome: Outcome): boolean {
  return outcome.status === "contended" && outcome.tooEarly === true;
}

function doable(outcome: Outcome): string {
  const all = ["retry", "fail", "dead-letter", "complete", ...(outcome.status === "contended" ? ["wait", "drop"] : [])];
  return all.map((name) => `"${name}"`).join(" | ");
}

function isPassing(error: unknown): boolean {
  return PASSING.some((code) => isExclaimError(error, code));
}

function refusal(reason: string, claimant: string, cause?: unknown): ExclaimError {
  return new ExclaimError("REFUSED", reason, { claimant, ...(cause === undefined ? {} : { cause }) });
}

/** A fixed delay as told; else backoff, but never long past the moment the holder's lease is over. */
function retryDelayMs(rule: Extract<Rule, { do: "retry" }>, outcome: Outcome, deferrals: number, fraction: number): number {
  if (rule.delayMs !== undefined) return rule.delayMs;
  if (outcome.status !== "contended" || outcome.retryAfterMs <= 0) return backoffMs(deferrals, fraction);
  // Nobody is in the way, so nothing is gained by coming sooner and the beat is lost by coming later.
  if (isTooEarly(outcome)) return Math.ceil(outcome.retryAfterMs);
  // A short hint says that a row is locked this moment, by whom and for how long nobody knows: come back soon, but not for ever.
  if (outcome.retryAfterMs < MIN_RETRY_MS) return backoffMs(Math.min(deferrals, SHORT_HINT_DOUBLINGS), fraction);
  return Math.ceil(Math.min(backoffMs(deferrals, fraction), outcome.retryAfterMs + MIN_RETRY_MS * fraction));
}

/** Doubles from 250 ms to 30 s; the upper half is chance, so that a crowd put off together does not come back together. */
function backoffMs(deferrals: number, fraction: number): number {
  const ceiling = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(deferrals, 20));
  return Math.ceil(ceiling * (0.5 + fraction / 2));
}
