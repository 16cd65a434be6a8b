import fc from "fast-check";
import type { PoolDefinition, Scope } from "../../src/ledger/pool-definition.ts";

/** Leases are whole hours, and no 200 steps in which time passes end within 8 s of a whole one. */
export const HOUR_MS = 3_600_000;
export const STEP_MS = 2_392_000;

/** One definition a script. All are ordered, so that which row is given is no matter of chance. */
export const POOLS: readonly PoolDefinition[] = [
  { table: "voucher_item", ownerColumn: "user_id", orderBy: "priority desc, id" },
  {
    table: "voucher_item",
    ownerColumn: "user_id",
    where: { status: "free" },
    set: { status: "taken", priority: 0 },
    orderBy: "id",
  },
  { table: "voucher_item", where: { status: "free" }, set: { status: "taken" }, orderBy: "priority, id desc" },
];

/** Mostly those that meet; "03" and "3" are one in a column of numbers, and "x" is none. */
const claimants = fc.oneof(
  { arbitrary: fc.constantFrom("1", "2", "3", "4"), weight: 9 },
  { arbitrary: fc.constantFrom("03", "x"), weight: 1 },
);
const scopes = fc.oneof(
  { arbitrary: fc.constant<Scope>({}), weight: 6 },
  {
    arbitrary: fc.constantFrom<number | string>(1, 1, 1, 2, 2, 2, "02", "x").map((campaign) => ({ campaign_id: campaign })),
    weight: 4,
  },
);
const rowIds = fc.constantFrom("1", "2", "3", "4", "5");
const members = fc.record({
  claimant: claimants,
  campaign: fc.constantFrom<number | string>(1, 1, 1, 1, 2, 2, 2, 2, "x"),
  /** How many requests back of the same claimant the holder is taken from, 0 for a new one. */
  holderOf: fc.constantFrom(0, 0, 0, 0, 1, 2),
  pick: fc.oneof({ arbitrary: rowIds, weight: 9 }, { arbitrary: fc.constantFrom("02", "x"), weight: 1 }),
});
const claims = fc.record({
  act: fc.constant("claim" as const),
  members: fc.array(members, { minLength: 1, maxLength: 4 }),
  /** Each member names the row it wants. */
  picks: fc.constantFrom(false, false, true),
  /** One scope for all, or each member's campaign. */
  scope: fc.oneof({ arbitrary: scopes, weight: 3 }, fc.constant("each" as const)),
  rerun: fc.constantFrom(false, false, true),
  hours: fc.constantFrom(1, 2),
  /** Asked of `claimNew` first, where the ledger has it. */
  asNew: fc.boolean(),
});
/** Which of the claims granted so far it is tried with: stale ones too. */
const backs = fc.nat({ max: 4 });
const ends = fc.record({
  act: fc.constantFrom<EndAct>("complete", "fail", "release", "renew"),
  backs: fc.uniqueArray(backs, { minLength: 1, maxLength: 3 }),
  result: fc.constantFrom(undefined, "null", '{"b":1,"a":[2]}'),
  wait: fc.boolean(),
});
const transactions = fc.record({
  act: fc.constant("transact" as const),
  back: backs,
  how: fc.constantFrom("commit" as const, "complete" as const, "throw" as const),
  messages: fc.nat({ max: 2 }),
  /** The lease is renewed from elsewhere while the work runs. */
  renews: fc.boolean(),
});
const finds = fc.record({ act: fc.constant("find" as const), claimant: claimants, scope: scopes });
const writes = fc.record({
  act: fc.constant("write" as const),
  id: rowIds,
  write: fc.constantFrom<ForeignWrite>(
    { user_id: null },
    { user_id: null },
    { user_id: 99 },
    { user_id: 1 },
    { status: "sold" },
    { status: "free" },
    { user_id: null, status: "free" },
    { campaign_id: 2 },
    { priority: 7 },
    "remove",
    "add",
  ),
});
const elapses = fc.record({ act: fc.constant("elapse" as const), steps: fc.constantFrom(1, 2, 5) });

/** What somebody who knows nothing of the ledger does to a row. */
export type ForeignWrite = Readonly<Record<string, string | number | null>> | "remove" | "add";

/** Any sequence of calls about one pool, as one process after another may make them. */
export const claimScripts = fc.record({
  pool: fc.constantFrom(...POOLS),
  steps: fc.array(
    fc.oneof(
      { arbitrary: claims, weight: 10 },
      { arbitrary: ends, weight: 7 },
      { arbitrary: transactions, weight: 3 },
      { arbitrary: finds, weight: 2 },
      { arbitrary: writes, weight: 3 },
      { arbitrary: elapses, weight: 2 },
    ),
    { minLength: 1, maxLength: 40, size: "max" },
  ),
});

export type ClaimScript = typeof claimScripts extends fc.Arbitrary<infer Value> ? Value : never;
export type ClaimStep = ClaimScript["steps"][number];
export type StepOf<Act extends ClaimStep["act"]> = Extract<ClaimStep, { act: Act }>;
export type EndAct = "complete" | "fail" | "release" | "renew";
