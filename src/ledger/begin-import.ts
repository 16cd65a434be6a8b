/**
 * Creates an import, or begins another run of it.
 *
 * Input:  $1 id, $2 source, $3 target, $4 fingerprint or null, $5 settings as JSON or null.
 * Output: run, position and rows; no row where the fingerprints differ.
 * Atomic. Waits for a run that is recording; from then on that run records nothing.
 */
export function beginImportSql(schema: string): string {
  return `
insert into ${schema}.imports as i (id, source, target, fingerprint, settings, status, run)
values ($1, $2, $3, $4, $5, 'running', 1)
on conflict (id) do update set status = 'running', run = i.run + 1, source = excluded.source, target = excluded.target,
  fingerprint = coalesce(i.fingerprint, excluded.fingerprint), settings = coalesce(excluded.settings, i.settings),
  reason = null, published_at = null, updated_at = clock_timestamp()
where coalesce(i.fingerprint = excluded.fingerprint, true)
returning run::text, position::float8 as position, rows::float8 as rows`;
}

/**
 * How many rows of an import became no message. A statement of its own, after the import was begun: that one may have waited for a run
 * that was recording, and would not see what it recorded.
 * Input: $1 import. Output: rejected and duplicated.
 */
export function countImportRejectsSql(schema: string): string {
  return `
select count(*) filter (where code <> 'ROW_DUPLICATED')::float8 as rejected,
  count(*) filter (where code = 'ROW_DUPLICATED')::float8 as duplicated
from ${schema}.import_rejects where import_id = $1`;
}
