import { rejectImportRowsSql } from "./reject-import-rows.ts";

/**
 * Ends a run of an import, with what the broker would not take of it.
 *
 * Input:  $1 import, $2 run, $3 position; $4 to $8 the rejects, see `reject-import-rows.ts`; $9 status, $10 reason or null.
 * Output: a row, or none: this is not the newest run, or it has ended otherwise.
 * Atomic: all of it or nothing. Asked again it changes nothing and answers the same.
 */
export function endImportSql(schema: string): string {
  return `
with import as materialized (select run, status from ${schema}.imports where id = $1 for update),
mine as materialized (select 1 from import where run = $2::bigint and status in ('running', $9)),
${rejectImportRowsSql(schema)}
update ${schema}.imports set status = $9, position = greatest(position, $3::bigint), reason = $10, updated_at = clock_timestamp(),
  published_at = case when $9 = 'published' then coalesce(published_at, clock_timestamp()) end,
  rows = rows + (select count(*) from rejected) - (select count(*) from removed)
where id = $1 and exists (select from mine)
returning id`;
}
