import { checkClaimOptions, MAX_MS } from "../claim/check-request.ts";
import { checkResourceOptions } from "../claim/check-resource-request.ts";
import type { ClaimOptions, Pool, PoolClaimRequest } from "../claim/pool.ts";
import type { Resource, ResourceClaimOptions } from "../claim/resource.ts";
import { ExclaimError } from "../errors.ts";
import type { ContentionRule, DeliveryPolicy, RuleOption, SettlePolicy } from "../settle/policy.ts";

/** What is used of a BullMQ `Job`, of either major and of a sandboxed processor. */
export interface BullmqJob {
  readonly id?: string | undefined;
  /** Attempts that failed before this one. */
  readonly attemptsMade: number;
  /** How often a worker picked the job up, this time included. */
  readonly attemptsStarted: number;
  /** Set once the job has ended for good. */
  readonly finishedOn?: number | undefined;
  readonly opts: { readonly attempts?: number | undefined };
  moveToDelayed(timestamp: number, token?: string): Promise<void>;
}

/**
 * How the jobs of a Worker are claimed.
 * Shape: `J` is the job type of the handler, `R` the row of the pool.
 */
export interface BullmqClaimOptions<J, R extends object> extends ClaimOptions, SettlePolicy<J> {
  /** The table whose rows are claimed. */
  readonly pool: Pool<R>;
  readonly resource?: never;
  /** On whose behalf: one claimant gets one row. Empty or missing: the job is dead-lettered, never run without a claim. */
  readonly claimant: (job: J) => string;
  /** Only rows of this subset. @default the whole pool */
  readonly scope?: (job: J) => NonNullable<PoolClaimRequest["scope"]>;
  /** The id of the very row wanted. @default any free row */
  readonly pick?: (job: J) => string;
}

/**
 * How the jobs of a Worker claim the keys of a named resource.
 * Shape: `J` is the job type of the handler.
 */
export interface BullmqResourceOptions<J> extends ResourceClaimOptions, DeliveryPolicy<J> {
  /** What `exclaim.resource()` returns. */
  readonly resource: Resource;
  readonly pool?: never;
  /** What only one job may work on at a time. Empty or missing: the job is dead-lettered, never run without a claim. */
  readonly key: (job: J) => string;
}

/** The rule options. */
const RULES = ["onContended", "onEmpty", "onTaken", "onLost"] as const;
const DOABLE: readonly unknown[] = ["retry", "fail", "dead-letter", "complete"];
const DOABLE_WHEN_CONTENDED: readonly unknown[] = [...DOABLE, "wait", "drop"];

/** Throws CONFIG_INVALID when the worker is set up, instead of at the first job. */
export function assertBullmqOptions<J, R extends object>(
  handler: unknown,
  options: BullmqClaimOptions<J, R> | BullmqResourceOptions<J>,
): void {
  assertConfig(typeof handler === "function", "the first argument must be the handler, the second the options");
  assertConfig(typeof options === "object" && options !== null, "the second argument must be the options");
  if (options.resource !== undefined) assertResourceOptions(options);
  else assertPoolOptions(options);
  assertPolicy(options);
}

function assertPoolOptions<J, R extends object>(options: BullmqClaimOptions<J, R>): void {
  assertConfig(typeof options.pool?.claim === "function", "pool must be what exclaim.pool() returns");
  assertConfig(typeof options.claimant === "function", "claimant must be a function of the job");
  for (const name of ["scope", "pick"] as const) {
    assertConfig(options[name] === undefined || typeof options[name] === "function", `${name} must be a function of the job`);
  }
  checkClaimOptions(options);
}

function assertResourceOptions<J>(options: BullmqResourceOptions<J>): void {
  assertConfig(options.pool === undefined, "give pool or resource, not both");
  assertConfig(typeof options.resource?.claim === "function", "resource must be what exclaim.resource() returns");
  assertConfig(typeof options.key === "function", "key must be a function of the job");
  checkResourceOptions(options);
}

function assertPolicy<J>(options: SettlePolicy<J>): void {
  for (const name of RULES) assertRule(name, options[name]);
  const { maxDeferrals } = options;
  assertConfig(
    maxDeferrals === undefined || (Number.isInteger(maxDeferrals) && maxDeferrals >= 0),
    "maxDeferrals must be 0 or more",
  );
}

function assertRule<J>(name: (typeof RULES)[number], rule: RuleOption<J, ContentionRule> | undefined): void {
  if (rule === undefined || typeof rule === "function") return;
  const doable = name === "onContended" ? DOABLE_WHEN_CONTENDED : DOABLE;
  assertConfig(doable.includes(rule?.do), `${name}.do must be one of ${doable.join(", ")}`);
  if (rule.do === "retry" && rule.delayMs !== undefined) assertMs(`${name}.delayMs`, rule.delayMs);
  if (rule.do !== "wait") return;
  assertMs(`${name}.upToMs`, rule.upToMs);
  assertConfig(rule.upToMs <= MAX_MS, `${name}.upToMs must be at most ${MAX_MS}`);
  if (rule.otherwise === undefined) return;
  assertConfig(DOABLE.includes(rule.otherwise?.do), `${name}.otherwise.do must be one of ${DOABLE.join(", ")}`);
  const { otherwise } = rule;
  if (otherwise.do === "retry" && otherwise.delayMs !== undefined) assertMs(`${name}.otherwise.delayMs`, otherwise.delayMs);
}

function assertMs(name: string, valueMs: number): void {
  assertConfig(Number.isFinite(valueMs) && valueMs >= 0, `${name} must be a number of milliseconds, 0 or more`);
}

function assertConfig(holds: boolean, what: string): void {
  if (!holds) throw new ExclaimError("CONFIG_INVALID", `withClaim(handler, options): ${what}`);
}
