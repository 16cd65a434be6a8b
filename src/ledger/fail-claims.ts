/**
 * Ends leases at once and leaves the rows with their claimants: one statement for many.
 *
 * Input:  $1 pools, $2 scopes, $3 claimants text[], $4 tokens bigint[], $5 resource ids text[].
 * Output: one row a claim, in order: done, lost or busy.
 * Atomic: all of it or nothing. Locks as completeClaimsSql does.
 */
export function failClaimsSql(schema: string, wait: boolean): string {
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    with ordinality as i (pool, scope, claimant, token, resource_id, ord)
),
locked as materialized (
  select i.ord, c.pool, c.scope, c.claimant, c.status, c.token = i.token and c.resource_id = i.resource_id as newest
  from input i join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
  order by c.pool, c.scope, c.claimant
  for update of c ${wait ? "" : "skip locked"}
),
ended as (
  update ${schema}.claims c set status = 'failed', leased_until = null, ended_at = clock_timestamp()
  from locked l
  where c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and l.newest and l.status = 'held'
)
select case
    when l.ord is null then case when c.claimant is null then 'lost' else 'busy' end
    when l.newest and l.status in ('held', 'failed') then 'done'
    else 'lost'
  end as answer
from input i
left join locked l on l.ord = i.ord
left join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
order by i.ord`;
}
