/** What a statement that ends or renews claims does between finding them and answering. */
export interface EndStatement {
  /** The ledger's schema, quoted. */
  readonly schema: string;
  /** Wait for claims that a transaction holds, or pass over them and answer `busy`. */
  readonly wait: boolean;
  /** FOR NO KEY UPDATE lets the claim's own fenced transactions (FOR KEY SHARE) go on meanwhile. */
  readonly lock: "update" | "no key update";
  /** Whether `$6` brings each claim's result. */
  readonly results?: boolean;
  /** CTEs over `locked`: the rows asked for and found, with `ord`, the claim's columns and `newest`. */
  readonly steps: string;
  /** Statuses under which the newest token is answered `done`: those it ends, and the one it made. */
  readonly done: readonly string[];
  /** A case branch that raises, with the joins it needs. */
  readonly refusal?: { readonly branch: string; readonly joins: string };
}

/**
 * Claims in one statement. Stands in it as a computed LIMIT, of which the planner expects a tenth of the ten that it expects of any array:
 * so it looks claims up one by one, by index, and its plan, which is kept, suits one claim and many.
 */
const MAX_END_BATCH = 1_000;

/**
 * The frame that completing, failing, releasing and renewing share: one statement for many claims.
 *
 * Input:  $1 pools, $2 scopes, $3 claimants text[], $4 tokens bigint[], $5 resource ids text[]; $6 is the statement's own.
 * Output: one row a claim, in order: done, lost or busy.
 * Atomic: all of it or nothing. Locks the claims in key order, so that two batches cannot wait for each other in a ring; passing
 * over locked ones is for batches, since a handler's transaction may hold one for long.
 */
export function endStatement(parts: EndStatement): string {
  const claims = `${parts.schema}.claims`;
  const [more, moreColumns] = parts.results ? [", $6::text[]", ", result"] : ["", ""];
  const done = parts.done.map((status) => `'${status}'`).join(", ");
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]${more})
    with ordinality as i (pool, scope, claimant, token, resource_id${moreColumns}, ord)
  limit (select ${MAX_END_BATCH})
),
locked as materialized (
  select i.ord${parts.results ? ", i.result" : ""}, c.pool, c.scope, c.claimant, c.status, c.token, c.resource_id, c.previous,
    c.token = i.token and coalesce(c.resource_id, i.resource_id) = i.resource_id as newest
  from input i join ${claims} c on c.claimant = i.claimant and c.scope = i.scope and c.pool = i.pool
  order by c.pool, c.scope, c.claimant
  for ${parts.lock} of c ${parts.wait ? "" : "skip locked"}
),
${parts.steps}
select case
    ${parts.refusal?.branch ?? ""}
    when l.ord is null then
      case when (select true from ${claims} c where c.claimant = i.claimant and c.scope = i.scope and c.pool = i.pool) then 'busy' else 'lost' end
    when l.newest and l.status in (${done}) then 'done'
    else 'lost'
  end as answer
from input i
left join locked l on l.ord = i.ord
${parts.refusal?.joins ?? ""}
order by i.ord`;
}

/** Picks the locked claims that this token may still change, for an `update ... c ... from locked l`. */
export const HELD_BY_TOKEN =
  "c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and l.newest and l.status = 'held'";
