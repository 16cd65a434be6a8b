/**
 * Records what became of rows of imports.
 *
 * Input:  $1 imports, $2 row keys, $3 states, $4 pools, $5 resource ids or null, $6 codes or null, $7 reasons or null, each text[].
 * Output: nothing.
 * Atomic: all of it or nothing. Rows are locked in key order, so that two batches cannot wait for each other in a ring. Of a row that is
 * in the input twice, claimed and replayed win over the rest, and then the last one wins. A row that is claimed or replayed stays so.
 */
export function settleImportRowsSql(schema: string): string {
  return `
with input as materialized (
  select distinct on (import_id, row_key) * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    with ordinality as i (import_id, row_key, state, pool, resource_id, code, reason, ord)
  order by import_id, row_key, state in ('claimed', 'replayed') desc, ord desc
),
locked as materialized (
  select r.import_id, r.row_key, i.state, i.pool, i.resource_id, i.code, i.reason
  from (select * from input order by import_id, row_key) i cross join lateral (
    select * from ${schema}.import_rows w where w.import_id = i.import_id and w.row_key = i.row_key for no key update
  ) r
  where r.state not in ('claimed', 'replayed')
    and (r.state, r.pool, r.resource_id, r.code, r.reason) is distinct from (i.state, i.pool, i.resource_id, i.code, i.reason)
)
update ${schema}.import_rows w set state = l.state, pool = l.pool, resource_id = l.resource_id, code = l.code, reason = l.reason,
  settled_at = clock_timestamp()
from locked l where w.import_id = l.import_id and w.row_key = l.row_key`;
}
