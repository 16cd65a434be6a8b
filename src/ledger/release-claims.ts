import type { OpenPool } from "./open-pool.ts";
import { stableText } from "./stable-text.ts";

/**
 * Gives rows back to their pool: one statement for many claims of one pool.
 *
 * Input:  $1 pools, $2 scopes, $3 claimants text[], $4 tokens bigint[], $5 resource ids text[].
 * Output: one row a claim, in order: done, lost or busy.
 * After:  owner null and the columns of `set` as they were, unless somebody else has written the owner meanwhile; the resource's
 *         token is remembered, so that its next claim continues above it.
 * Raises EX001 where a trigger or row policy keeps a row's owner from being written: the ledger must not call it free then.
 * Atomic: all of it or nothing. Locks as completeClaimsSql does, claims before rows, and rows before a claim lets go of them: a row
 *         whose owner somebody has set to null could else be claimed before the token is there to be read.
 */
export function releaseClaimsSql(schema: string, pool: OpenPool, wait: boolean): string {
  const owner = pool.owner;
  const writes = [
    ...(owner === null ? [] : [`${owner.sql} = null`]),
    ...pool.set.map(({ column }) => `${column.sql} = (l.previous ->> '${column.name.replaceAll("'", "''")}')::${column.type}`),
  ].join(", ");
  const isTheirs = owner === null ? "true" : `${stableText(schema, owner, `t.${owner.sql}`)} = l.claimant`;
  const isFree = owner === null ? "true" : `t.${owner.sql} is null`;
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    with ordinality as i (pool, scope, claimant, token, resource_id, ord)
),
locked as materialized (
  select i.ord, c.pool, c.scope, c.claimant, c.status, c.token, c.resource_id, c.previous,
    c.token = i.token and coalesce(c.resource_id, i.resource_id) = i.resource_id as newest
  from input i join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
  order by c.pool, c.scope, c.claimant
  for update of c ${wait ? "" : "skip locked"}
),
given as materialized (select * from locked where newest and status in ('held', 'failed')),
rows as materialized (
  select l.ord, coalesce(${isTheirs}, false) as theirs
  from given l join ${pool.table} t on t.${pool.id.sql} = l.resource_id::${pool.id.type}
  order by l.resource_id for update of t
),
ended as (
  update ${schema}.claims c
  set status = 'released', resource_id = null, previous = null, leased_until = null, ended_at = clock_timestamp()
  from given l where c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and (select count(*) from rows) >= 0
),
remembered as (
  insert into ${schema}.released_tokens as t (pool, resource_id, token)
  select pool, resource_id, token from given order by pool, resource_id
  on conflict (pool, resource_id) do update set token = greatest(t.token, excluded.token)
),
restored as (
  update ${pool.table} t set ${writes}
  from given l
  where t.${pool.id.sql} = l.resource_id::${pool.id.type} and ${isTheirs}
  returning l.ord, ${isFree} as free
)
select case
    when r.theirs and w.free is not true then ${schema}.refuse_unwritten_row(l.resource_id, 0)::text
    when l.ord is null then case when c.claimant is null then 'lost' else 'busy' end
    when l.newest and l.status in ('held', 'failed', 'released') then 'done'
    else 'lost'
  end as answer
from input i
left join locked l on l.ord = i.ord
left join rows r on r.ord = i.ord
left join restored w on w.ord = i.ord
left join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
order by i.ord`;
}
