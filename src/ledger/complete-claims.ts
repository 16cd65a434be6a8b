/**
 * Marks claims completed and stores their results: one statement for many.
 *
 * Input:  $1 pools, $2 scopes, $3 claimants text[], $4 tokens bigint[], $5 resource ids text[], $6 results text[] (JSON, null for none).
 * Output: one row a claim, in order: done, lost or busy.
 * Atomic: all of it or nothing. Locks the claims in key order, so that two batches cannot wait for each other in a ring; `wait`
 * false passes over locked ones, which a transaction of a handler may hold for long.
 */
export function completeClaimsSql(schema: string, wait: boolean): string {
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
    with ordinality as i (pool, scope, claimant, token, resource_id, result, ord)
),
locked as materialized (
  select i.ord, i.result, c.pool, c.scope, c.claimant, c.status, c.token = i.token and c.resource_id = i.resource_id as newest
  from input i join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
  order by c.pool, c.scope, c.claimant
  for update of c ${wait ? "" : "skip locked"}
),
ended as (
  update ${schema}.claims c
  set status = 'completed', result = l.result::json, leased_until = null, ended_at = clock_timestamp()
  from locked l
  where c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and l.newest and l.status = 'held'
)
select case
    when l.ord is null then case when c.claimant is null then 'lost' else 'busy' end
    when l.newest and l.status in ('held', 'completed') then 'done'
    else 'lost'
  end as answer
from input i
left join locked l on l.ord = i.ord
left join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
order by i.ord`;
}
