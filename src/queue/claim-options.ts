import { checkClaimOptions, MAX_MS } from "../claim/check-request.ts";
import { checkResourceOptions } from "../claim/check-resource-request.ts";
import type { ClaimOptions, Pool, PoolClaimRequest } from "../claim/pool.ts";
import type { Resource, ResourceClaimOptions } from "../claim/resource.ts";
import { ExclaimError } from "../errors.ts";
import type { ContentionRule, DeliveryPolicy, RuleOption, SettlePolicy } from "../settle/policy.ts";

/**
 * How messages claim rows of a pool, whichever broker they come from.
 * Shape: `M` is the message as the handler gets it, `R` the row of the pool.
 */
export interface PoolDeliveryOptions<M, R extends object> extends ClaimOptions, SettlePolicy<M> {
  /** The table whose rows are claimed. */
  readonly pool: Pool<R>;
  readonly resource?: never;
  /** On whose behalf: one claimant gets one row. Empty or missing: the message is dead-lettered, never run without a claim. */
  readonly claimant: (message: M) => string;
  /** Only rows of this subset. @default the whole pool */
  readonly scope?: (message: M) => NonNullable<PoolClaimRequest["scope"]>;
  /** The id of the very row wanted. @default any free row */
  readonly pick?: (message: M) => string;
}

/** How messages claim the keys of a named resource. */
export interface ResourceDeliveryOptions<M> extends ResourceClaimOptions, DeliveryPolicy<M> {
  /** What `exclaim.resource()` returns. */
  readonly resource: Resource;
  readonly pool?: never;
  /** What only one message may work on at a time. Empty or missing: the message is dead-lettered, never run without a claim. */
  readonly key: (message: M) => string;
}

/** The rule options. */
const RULES = ["onContended", "onEmpty", "onTaken", "onLost"] as const;
const DOABLE: readonly unknown[] = ["retry", "fail", "dead-letter", "complete"];
const DOABLE_WHEN_CONTENDED: readonly unknown[] = [...DOABLE, "wait", "drop"];

/** Throws CONFIG_INVALID when the consumer is set up, instead of at the first message. */
export function assertClaimOptions<M, R extends object>(
  handler: unknown,
  options: PoolDeliveryOptions<M, R> | ResourceDeliveryOptions<M>,
): void {
  assertConfig(typeof handler === "function", "the handler must be a function, and come before the options");
  assertConfig(typeof options === "object" && options !== null, "the options must follow the handler");
  if (options.resource !== undefined) assertResourceOptions(options);
  else assertPoolOptions(options);
  assertPolicy(options);
}

/** Throws CONFIG_INVALID with what is wrong, unless `holds`. */
export function assertConfig(holds: boolean, what: string): void {
  if (!holds) throw new ExclaimError("CONFIG_INVALID", `withClaim: ${what}`);
}

function assertPoolOptions<M, R extends object>(options: PoolDeliveryOptions<M, R>): void {
  assertConfig(typeof options.pool?.claim === "function", "pool must be what exclaim.pool() returns");
  assertConfig(typeof options.claimant === "function", "claimant must be a function of the message");
  for (const name of ["scope", "pick"] as const) {
    assertConfig(
      options[name] === undefined || typeof options[name] === "function",
      `${name} must be a function of the message`,
    );
  }
  checkClaimOptions(options);
}

function assertResourceOptions<M>(options: ResourceDeliveryOptions<M>): void {
  assertConfig(options.pool === undefined, "give pool or resource, not both");
  assertConfig(typeof options.resource?.claim === "function", "resource must be what exclaim.resource() returns");
  assertConfig(typeof options.key === "function", "key must be a function of the message");
  checkResourceOptions(options);
}

function assertPolicy<M>(options: SettlePolicy<M>): void {
  for (const name of RULES) assertRule(name, options[name]);
  const { maxDeferrals } = options;
  assertConfig(
    maxDeferrals === undefined || (Number.isInteger(maxDeferrals) && maxDeferrals >= 0),
    "maxDeferrals must be 0 or more",
  );
}

function assertRule<M>(name: (typeof RULES)[number], rule: RuleOption<M, ContentionRule> | undefined): void {
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
