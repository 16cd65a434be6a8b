import { type ClaimShape, claimPieces, MAX_CLAIM_BATCH, type ScopeValues } from "./claim-pieces.ts";
import { stableText } from "./stable-text.ts";

export interface AnyClaimShape extends ClaimShape {
  /** The requests name the rows they want. */
  readonly picks: boolean;
  /**
   * Free rows that the ledger gives to somebody are passed over. They exist only where someone else wrote the owner column, and
   * looking for them costs a probe a row, so it is done after the unique index has refused such a row.
   */
  readonly guarded: boolean;
}

/** The unique index that refuses a row which is already somebody's. */
export const RESOURCE_INDEX = "claims_resource";

/** Columns before the user's own in each row of the answer. */
export const ANSWER_COLUMNS = [
  "status",
  "claimant",
  "scope",
  "resource_id",
  "token",
  "attempt",
  "resumed",
  "result",
  "retry_after_ms",
] as const;

/** `$1` to `$7`; scope values follow. */
const FIRST_SCOPE_PARAMETER = 8;

/**
 * The claim: one statement for many claimants of one pool and scope.
 *
 * Input:  $1 pool name, $2 claimants text[], $3 holders text[], $4 message ids text[], $5 ttl in ms, $6 whether completed
 *         claims run again, $7 picked ids text[], then one value for each scope column.
 * Output: one row a request, in order: ANSWER_COLUMNS, then the columns of the user's table.
 *         status: claimed, replayed, contended, empty, taken, changed.
 * Atomic: all of it or nothing. READ COMMITTED: FOR UPDATE re-reads a row that changed since the statement began.
 *
 * The steps, each a CTE, since only a CTE is certain to run once and to honour its LIMIT; claims are looked up one by one (lateral),
 * since a planner without statistics would rather read them all:
 *   member    one request a claimant, written as the owner column's type writes it, so "07" and "7" are one claimant
 *   known     their claims as the statement began; locked: the same, locked and re-read, passing over locked ones: a handler's
 *             long transaction must not hold up strangers in the same batch
 *   resumed   claims whose lease is over take the next token and keep their row
 *   fresh     claimants without a row; chosen: free rows for them, locked; paired: who gets which
 *   granted   the token each gets, above the row's last: read after the row was locked, by a function that sees what has committed
 *             since this statement began, since the row may have been claimed and released in between
 *   inserted  the ledger's record, first, reopened where the claimant had released a row or else added; then written, the owner
 *             column. Both happen under the row's lock
 * A claimant that another statement adds in the meantime finds its record there and is contended. That is the one place where a claim
 * statement waits for another: it waits for no record that was there before, and all add in the order of their claimants, so that
 * nobody waits in a ring.
 */
export function claimSql(shape: AnyClaimShape): string {
  const { pool } = shape;
  const schema = shape.schema;
  const claims = `${schema}.claims`;
  const id = pool.id;
  const pieces = claimPieces(shape);
  const { previous, writes, written, stillFree, idText } = pieces;
  const scopeValues: ScopeValues = (column, index) => `$${FIRST_SCOPE_PARAMETER + index}::${column.type}`;
  const inScope = pieces.inScope(scopeValues);
  const unclaimed = shape.guarded
    ? ` and not exists (select 1 from ${claims} g where g.pool = $1 and g.resource_id = ${idText(pool.table)})`
    : "";
  const free = `${pool.free}${inScope}${unclaimed}`;
  const ownRow = pool.owner === null ? "r.found" : `r.owner is not distinct from l.claimant`;

  return `
with input as materialized (
  select i.ord, ${pieces.claimant("i.claimant")} as claimant, i.holder, i.message_id, ${stableText(schema, id, `i.pick::${id.type}`)} as pick
  from unnest($2::text[], $3::text[], $4::text[], $7::text[]) with ordinality as i (claimant, holder, message_id, pick, ord)
),
scope as materialized (select ${pieces.scope(scopeValues)} as scope),
"exclaim member" as materialized (
  select distinct on (i.claimant) i.*, s.scope from input i, scope s order by i.claimant, i.ord
),
known as materialized (
  select c.* from "exclaim member" m cross join lateral (
    select * from ${claims} c where c.claimant = m.claimant and c.scope = m.scope and c.pool = $1 offset 0
  ) c
),
locked as materialized (
  select c.claimant, c.scope, c.status, c.resource_id, c.token, m.holder, m.message_id,
    c.status = 'held' and c.holder = m.holder as own, c.status <> 'held' and c.holder = m.holder as over,
    c.leased_until > clock_timestamp() as live
  from "exclaim member" m cross join lateral (
    select * from ${claims} c
    where c.claimant = m.claimant and c.scope = m.scope and c.pool = $1 and (c.status <> 'completed' or $6::boolean)
    for update skip locked
  ) c
),
due as materialized (
  select l.*, coalesce(${ownRow}, false) as unchanged
  from locked l
  left join lateral (
    select true as found${pool.owner === null ? "" : `, ${stableText(schema, pool.owner, `t.${pool.owner.sql}`)} as owner`}
    from ${pool.table} t where t.${id.sql} = l.resource_id::${id.type}
  ) r on true
  where not l.over and (l.status in ('failed', 'completed') or (l.status = 'held' and (l.own or not l.live)))
),
resumed as (
  update ${claims} c set
    status = 'held', holder = d.holder, message_id = d.message_id, result = null, ended_at = null,
    leased_until = clock_timestamp() + $5::double precision * interval '1 millisecond',
    token = c.token + case when d.own then 0 else 1 end,
    attempt = c.attempt + case when d.own then 0 else 1 end
  from due d
  where d.unchanged and c.pool = $1 and c.scope = d.scope and c.claimant = d.claimant
  returning c.claimant, c.scope, c.resource_id, c.token, c.attempt, c.attempt > 1 as resumed
),
fresh as materialized (
  select m.*, row_number() over (order by m.ord) as n
  from "exclaim member" m left join known k using (claimant) left join locked l using (claimant)
  where k.claimant is null or (l.status = 'released' and not l.over)
),
chosen as materialized (
  select * from (
    select ${idText()} as id, ${previous} as previous
    from ${pool.table}
    where ${free}${shape.picks ? ` and ${id.sql} = any (array(select f.pick::${id.type} from fresh f))` : ""}
    ${shape.picks ? `order by ${id.sql}` : pool.orderBy}
    limit (select count(*) from fresh)
    for update skip locked
  ) c limit ${MAX_CLAIM_BATCH}
),
paired as materialized (
  ${
    shape.picks
      ? `select distinct on (c.id) f.claimant, f.scope, f.holder, f.message_id, c.id, c.previous
  from fresh f join chosen c on c.id::${id.type} = f.pick::${id.type} order by c.id, f.ord`
      : `select f.claimant, f.scope, f.holder, f.message_id, c.id, c.previous
  from fresh f join (select *, row_number() over () as n from chosen) c using (n)`
  }
),
granted as materialized (
  select p.*, coalesce(t.token, 0) + 1 as token, l.claimant is not null as again
  from paired p
  left join ${schema}.last_released_tokens($1, array(select id from paired)) t on t.resource_id = p.id
  left join locked l using (claimant)
),
reopened as (
  update ${claims} c set
    resource_id = g.id, token = g.token, status = 'held', attempt = 1, holder = g.holder, message_id = g.message_id,
    leased_until = clock_timestamp() + $5::double precision * interval '1 millisecond',
    previous = g.previous, result = null, claimed_at = clock_timestamp(), ended_at = null
  from granted g
  where g.again and c.pool = $1 and c.scope = g.scope and c.claimant = g.claimant
  returning c.claimant, c.scope, c.resource_id, c.token
),
added as (
  insert into ${claims} as c
    (pool, scope, claimant, resource_id, token, status, attempt, holder, leased_until, message_id, previous)
  select $1, g.scope, g.claimant, g.id, g.token, 'held', 1, g.holder,
    clock_timestamp() + $5::double precision * interval '1 millisecond', g.message_id, g.previous
  from granted g where not g.again
  order by g.claimant
  on conflict (pool, scope, claimant) do nothing
  returning c.claimant, c.scope, c.resource_id, c.token
),
inserted as (select * from reopened union all select * from added),
written as (
  update ${pool.table} t set ${writes}
  from inserted i
  where t.${id.sql} = i.resource_id::${id.type}${stillFree}
  returning case when ${written} then i.claimant end as "exclaim claimant", t.*
),
taken as materialized (select "exclaim claimant" as claimant, count(*) as rows from written group by 1),
short as materialized (
  select (select count(*) from fresh) > (select count(*) from chosen) as short
),
${
  shape.picks
    ? `wanted as materialized (
  select ${idText()} as id, coalesce(${pool.free}${unclaimed}, false) as free
  from ${pool.table}
  where ${id.sql} = any (array(select f.pick::${id.type} from fresh f where (select short from short)))${inScope}
),`
    : `leftover as materialized (
  select case when (select short from short) then exists (
    select 1 from ${pool.table} where ${free} and not exists (select 1 from chosen c where c.id = ${idText(pool.table)})
  ) end as leftover
),`
}
answers as (
  select i.ord, m.claimant is not null as first, i.claimant, s.scope,
    coalesce(r.resource_id, n.resource_id) as resource_id, coalesce(r.token, n.token) as token,
    coalesce(r.attempt, 1) as attempt, coalesce(r.resumed, false) as resumed, k.result,
    case
      when m.claimant is null then 'contended'
      when r.claimant is not null then 'claimed'
      when n.claimant is not null then
        case when w.rows = 1 then 'claimed' else ${schema}.refuse_unwritten_row(n.resource_id, w.rows)::text end
      when k.status = 'completed' and not $6::boolean then 'replayed'
      when d.claimant is not null and not d.unchanged then
        case when l.token = k.token and l.resource_id = k.resource_id then 'changed' else 'contended' end
      when f.claimant is null or p.claimant is not null then 'contended'
      else ${shape.picks ? `case when v.id is null then 'empty' when v.free then 'contended' else 'taken' end` : `case when (select leftover from leftover) then 'contended' else 'empty' end`}
    end as status,
    case when k.status = 'held' and l.own is not true
      then greatest(0, extract(epoch from k.leased_until - clock_timestamp()) * 1000) end as retry_after_ms
  from input i cross join scope s
  left join "exclaim member" m on m.ord = i.ord
  left join known k on k.claimant = m.claimant
  left join locked l on l.claimant = m.claimant
  left join due d on d.claimant = m.claimant
  left join resumed r on r.claimant = m.claimant
  left join fresh f on f.claimant = m.claimant
  left join paired p on p.claimant = m.claimant
  left join inserted n on n.claimant = m.claimant
  left join taken w on w.claimant = m.claimant
  ${shape.picks ? `left join wanted v on v.id::${id.type} = f.pick::${id.type}` : ""}
)
select a.status, a.claimant, a.scope, a.resource_id, a.token, a.attempt, a.resumed, a.result::text, a.retry_after_ms::float8,
  u.*
from answers a left join (
  select * from written
  union all
  select r.claimant, t.* from resumed r join ${pool.table} t on t.${id.sql} = r.resource_id::${id.type}
) u on u."exclaim claimant" = a.claimant and a.status = 'claimed'
order by a.ord`;
}
