/**
 * Tells whoever runs an import to publish no more.
 *
 * Input:  $1 import.
 * Output: a row, or none: there is no such import that runs, stopped or failed.
 * Atomic. Waits for a run that is recording.
 */
export function cancelImportSql(schema: string): string {
  return `
update ${schema}.imports set status = 'cancelled', updated_at = clock_timestamp()
where id = $1 and status in ('running', 'stopped', 'failed') returning id`;
}
