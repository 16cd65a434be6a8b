/**
 * Records a chunk of an import.
 *
 * Input:  $1 import, $2 run, $3 position; of the rows $4 row keys, $5 keys or null text[], $6 lines bigint[]; of the rejects $7 lines
 *         bigint[], $8 keys or null, $9 row keys or null, $10 codes, $11 reasons text[].
 * Output: one row: run and status of the import as they are under its lock, and answers text[], one a row in order.
 * Atomic: all of it or nothing; nothing unless this is the newest run and it is running. Asked again it changes nothing.
 *
 * Rows are looked up one by one (lateral): a planner without statistics of a table that has just begun to grow would rather read it all.
 * The import's own row is locked first, so that two runs come one after the other; rows are added in key order, and only by runs.
 */
export function recordImportChunkSql(schema: string): string {
  return `
with import as materialized (select run, status from ${schema}.imports where id = $1 for update),
mine as materialized (select 1 from import where run = $2::bigint and status = 'running'),
input as materialized (
  select i.* from unnest($4::text[], $5::text[], $6::bigint[]) with ordinality as i (row_key, key, line, ord)
),
rejects as materialized (
  select r.* from unnest($7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[]) as r (line, key, row_key, code, reason)
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
answers as materialized (
  select i.ord, i.line, coalesce(i.key, i.row_key) as key, coalesce(e.line, a.line) as first_line,
    case when coalesce(e.line, a.line) <> i.line then 'duplicated'
      when e.state <> 'pending' then 'settled' else 'publish' end as answer
  from input i left join existing e using (row_key) left join added a using (row_key)
),
refused as materialized (
  select w.ctid from rejects r cross join lateral (
    select w.ctid from ${schema}.import_rows w
    where w.import_id = $1 and w.row_key = r.row_key and w.line = r.line and w.state = 'pending' offset 0
  ) w
),
removed as (
  delete from ${schema}.import_rows where ctid = any (array(select ctid from refused)) and state = 'pending' and exists (select from mine)
  returning 1
),
rejected as (
  insert into ${schema}.import_rejects (import_id, line, key, code, reason)
  select $1, n.line, n.key, n.code, n.reason from (
    select line, key, code, reason from rejects
    union all
    select line, key, 'ROW_DUPLICATED', 'its key is that of line ' || first_line from answers where answer = 'duplicated'
  ) n
  where exists (select from mine)
  on conflict do nothing
  returning 1
),
moved as (
  update ${schema}.imports set position = greatest(position, $3::bigint), updated_at = clock_timestamp(),
    rows = rows + (select count(*) from added) + (select count(*) from rejected) - (select count(*) from removed)
  where id = $1 and exists (select from mine)
)
select run::text, status, (select array_agg(answer order by ord) from answers) as answers from import`;
}
