/**
 * The part of a statement that takes rows which become no message: queries for its `with`, after one named `mine` that has a row only
 * where the statement may write.
 *
 * Input:  $1 import; of the rejects $4 lines bigint[], $5 keys or null, $6 row keys or null, $7 codes, $8 reasons, each text[].
 *         `also`: a query for further rejects: line, key, code, reason.
 * Output: `removed` and `rejected`, a row each for what left `import_rows` and what came to `import_rejects`.
 *
 * A row that was recorded as pending is moved. One that has come to an end meanwhile, since the message was served after all, stays:
 * what the delete left counts, which has waited for whoever was settling the row. No line is ever in both tables.
 */
export function rejectImportRowsSql(schema: string, also = ""): string {
  return `
rejects as materialized (
  select r.* from unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[]) as r (line, key, row_key, code, reason)
),
known as materialized (
  select w.* from rejects r cross join lateral (
    select w.ctid, w.line from ${schema}.import_rows w where w.import_id = $1 and w.row_key = r.row_key and w.line = r.line offset 0
  ) w
),
removed as (
  delete from ${schema}.import_rows where ctid = any (array(select ctid from known)) and state = 'pending' and exists (select from mine)
  returning line
),
rejected as (
  insert into ${schema}.import_rejects (import_id, line, key, code, reason)
  select $1, n.line, n.key, n.code, n.reason from (
    select line, key, code, reason from rejects
    where line not in (select line from known) or line in (select line from removed)${also && ` union all ${also}`}
  ) n
  where exists (select from mine)
  on conflict do nothing
  returning 1
)`;
}
