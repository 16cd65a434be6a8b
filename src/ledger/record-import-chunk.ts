import { rejectImportRowsSql } from "./reject-import-rows.ts";

/**
 * Records a chunk of an import.
 *
 * Input:  $1 import, $2 run, $3 position; $4 to $8 the rejects, see `reject-import-rows.ts`; of the rows $9 row keys, $10 keys or null
 *         text[], $11 lines bigint[].
 * Output: one row: run and status of the import as they are under its lock, and answers text[], one a row in order. `unseen`: another
 *         statement recorded the row while this one waited for it; asked again, it is seen.
 * Atomic: all of it or nothing; nothing unless this is the newest run and it is running. Asked again it changes nothing.
 *
 * Rows are looked up one by one (lateral): a planner without statistics of a table that has just begun to grow would rather read it all.
 * The import's own row is locked first, so that two runs come one after the other; rows are added in key order, and only by runs.
 * A row that was rejected before and comes again as one to be published is a reject no longer.
 */
export function recordImportChunkSql(schema: string): string {
  return `
with import as materialized (select run, status from ${schema}.imports where id = $1 for update),
mine as materialized (select 1 from import where run = $2::bigint and status = 'running'),
input as materialized (
  select i.* from unnest($9::text[], $10::text[], $11::bigint[]) with ordinality as i (row_key, key, line, ord)
),
existing as materialized (
  select e.* from (select distinct row_key from input) i cross join lateral (
    select w.row_key, w.line, w.state from ${schema}.import_rows w where w.import_id = $1 and w.row_key = i.row_key offset 0
  ) e
),
added as (
  insert into ${schema}.import_rows (import_id, row_key, line, key)
  select $1, f.row_key, f.line, f.key
  from (select distinct on (row_key) * from input order by row_key, ord) f
  where exists (select from mine)
  order by f.row_key
  on conflict do nothing
  returning row_key, line
),
cleared as (
  delete from ${schema}.import_rejects where ctid = any (array(
    select x.ctid from added a cross join lateral (
      select j.ctid from ${schema}.import_rejects j where j.import_id = $1 and j.line = a.line offset 0
    ) x
  ))
  returning 1
),
answers as materialized (
  select i.ord, i.line, coalesce(i.key, i.row_key) as key, coalesce(e.line, a.line) as first_line,
    case when e.line is null and a.line is null then 'unseen'
      when coalesce(e.line, a.line) <> i.line then 'duplicated'
      when e.state <> 'pending' then 'settled' else 'publish' end as answer
  from input i left join existing e using (row_key) left join added a using (row_key)
),
${rejectImportRowsSql(
  schema,
  "select line, key, 'ROW_DUPLICATED', 'its key is that of line ' || first_line from answers where answer = 'duplicated'",
)},
moved as (
  update ${schema}.imports set position = greatest(position, $3::bigint), updated_at = clock_timestamp(),
    rows = rows + (select count(*) from added) + (select count(*) from rejected)
      - (select count(*) from removed) - (select count(*) from cleared)
  where id = $1 and exists (select from mine)
)
select run::text, status, (select array_agg(answer order by ord) from answers) as answers from import`;
}
