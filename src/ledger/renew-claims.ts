/**
 * Makes leases last `$6` ms from now: one statement for many.
 *
 * Input:  $1 pools, $2 scopes, $3 claimants text[], $4 tokens bigint[], $5 resource ids text[], $6 ttl in ms.
 * Output: one row a claim, in order: done, lost or busy.
 * Atomic: all of it or nothing. FOR NO KEY UPDATE lets the claim's own fenced transactions (FOR KEY SHARE) go on meanwhile.
 */
export function renewClaimsSql(schema: string): string {
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    with ordinality as i (pool, scope, claimant, token, resource_id, ord)
),
locked as materialized (
  select i.ord, c.pool, c.scope, c.claimant, c.status = 'held' and c.token = i.token and c.resource_id = i.resource_id as ours
  from input i join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
  order by c.pool, c.scope, c.claimant
  for no key update of c skip locked
),
renewed as (
  update ${schema}.claims c set leased_until = clock_timestamp() + $6::double precision * interval '1 millisecond'
  from locked l
  where c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and l.ours
)
select case
    when l.ord is null then case when c.claimant is null then 'lost' else 'busy' end
    when l.ours then 'done'
    else 'lost'
  end as answer
from input i
left join locked l on l.ord = i.ord
left join ${schema}.claims c on c.pool = i.pool and c.scope = i.scope and c.claimant = i.claimant
order by i.ord`;
}
