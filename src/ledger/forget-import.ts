/**
 * Removes an import that does not run, and all its rows.
 *
 * Input:  $1 import.
 * Output: a row, or none: there is no such import, or it runs.
 * Atomic: all of it or nothing.
 */
export function forgetImportSql(schema: string): string {
  return `
with gone as (delete from ${schema}.imports where id = $1 and status <> 'running' returning id),
rows as (delete from ${schema}.import_rows where import_id in (select id from gone)),
rejects as (delete from ${schema}.import_rejects where import_id in (select id from gone))
select id from gone`;
}
