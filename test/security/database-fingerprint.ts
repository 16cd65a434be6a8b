import type pg from "pg";

/** What the tables, columns and functions of a database are and what its canary holds: the same text as long as nobody changed them. */
export async function databaseFingerprint(sql: pg.Pool): Promise<string> {
  const { rows } = await sql.query(`select
    (select string_agg(id || '=' || note, ',' order by id) from canary) as canary,
    (select string_agg(c.oid::regclass::text || '.' || a.attname, ',' order by c.oid, a.attnum)
       from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
       where c.relkind in ('r', 'v', 'm', 'p') and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)') as tables,
    (select string_agg(p.oid::regprocedure::text, ',' order by p.oid) from pg_proc p
       where p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)') as functions`);
  return JSON.stringify(rows);
}
