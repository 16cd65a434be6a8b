import { ExclaimError } from "../errors.ts";
import { databaseError } from "./database-errors.ts";
import { parseTableName, quoteIdentifier } from "./quote.ts";
import type { Statements } from "./run-statement.ts";

/** A column as the catalog knows it. */
export interface Column {
  readonly name: string;
  /** Quoted, ready for SQL. */
  readonly sql: string;
  /**
   * The type that a value is cast to. Text has no length here, so that a cast never cuts: `character varying`, not
   * `character varying(10)`, and `text` for a domain over it. A number or a time keeps its precision, so that a cast rounds as the
   * column does.
   */
  readonly type: string;
  /** The type as it was declared, with its length. */
  readonly declaredType: string;
  /** A value reads the same in every session, whatever its TimeZone, DateStyle or bytea_output. */
  readonly plainText: boolean;
  readonly nullable: boolean;
  /** By an expression, or always as an identity. */
  readonly generated: boolean;
  /** By an expression over other columns. */
  readonly computed: boolean;
}

/** A table as the catalog knows it. */
export interface FoundTable {
  readonly schema: string;
  readonly table: string;
  readonly partitioned: boolean;
  readonly columns: readonly Column[];
  /** Key columns of unique indexes; the primary key first. `alone`: the column is the whole key. */
  readonly uniqueColumns: readonly { readonly name: string; readonly primary: boolean; readonly alone: boolean }[];
  /** Indexes that can be read in order. */
  readonly indexes: readonly TableIndex[];
}

export interface TableIndex {
  /** The columns of its key, in order; null for an expression. */
  readonly columns: readonly (string | null)[];
  /** Of a partial index, as the server writes it. */
  readonly predicate: string | null;
}

/**
 * Input: $1 table, $2 schema or null for the search path. Output: one row, or none when there is no such table.
 * A unique index counts when it is valid, immediate, over the whole table and over plain columns; in a partitioned table it may
 * also cover the partition key, since a constraint over the id alone is not to be had there. Columns that an index only includes
 * are no part of its key.
 * Plain text is what an output function makes that looks at no setting; the four named are marked so though they do look.
 */
const TABLE_SQL = `
select n.nspname as schema, c.relname as "table", c.relkind as kind, c.relkind = 'p' as partitioned,
  (select coalesce(json_agg(json_build_object(
      'name', a.attname, 'nullable', not a.attnotnull,
      'type', case
        when t.typtype = 'd' and t.typcategory = 'S' then 'text'
        when t.typcategory in ('N', 'D', 'T') then format_type(a.atttypid, a.atttypmod)
        else format_type(a.atttypid, -1) end,
      'declaredType', format_type(a.atttypid, a.atttypmod),
      'plainText', o.provolatile = 'i' and o.proname not in ('byteaout', 'cash_out', 'float4out', 'float8out'),
      'generated', a.attgenerated <> '' or a.attidentity = 'a', 'computed', a.attgenerated <> '') order by a.attnum), '[]')
    from pg_attribute a join pg_type t on t.oid = a.atttypid join pg_proc o on o.oid = t.typoutput
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
  (select coalesce(json_agg(json_build_object('name', a.attname, 'primary', i.indisprimary, 'alone', i.indnkeyatts = 1)
      order by i.indisprimary desc, i.indexrelid), '[]')
    from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
      and i.indpred is null and i.indexprs is null
      and (i.indnkeyatts = 1 or c.relkind = 'p' or i.indisprimary)) as "uniqueColumns",
  (select coalesce(json_agg(json_build_object('predicate', pg_get_expr(i.indpred, i.indrelid), 'columns', array(
        select a.attname from generate_series(0, i.indnkeyatts - 1) k (n)
        left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[k.n] and a.attnum > 0 order by k.n))
      order by i.indexrelid), '[]')
    from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam and m.amname = 'btree'
    where i.indrelid = c.oid and i.indisvalid) as indexes
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = $1 and case when $2::text is null then pg_table_is_visible(c.oid) else n.nspname = $2 end
  and c.relkind in ('r', 'p', 'v', 'm', 'f')`;

/**
 * Reads a table's columns and unique indexes.
 * Throws POOL_INVALID: no such table, or a view; DATABASE_UNREACHABLE.
 */
export async function readTable(database: Statements, name: string): Promise<FoundTable> {
  const { schema, table } = parseTableName(name);
  let rows: unknown[];
  try {
    ({ rows } = await database.run({ text: TABLE_SQL, values: [table, schema] }));
  } catch (error) {
    throw databaseError(error, `pool table "${name}" could not be checked`);
  }
  const found = rows[0] as (FoundTable & { kind: string; columns: Omit<Column, "sql">[] }) | undefined;
  if (found === undefined) {
    const where = schema === null ? "in the search path of this connection" : `in schema "${schema}"`;
    throw new ExclaimError("POOL_INVALID", `pool table "${name}" does not exist ${where}: create it, or correct "table"`, {
      table: name,
    });
  }
  if (found.kind !== "r" && found.kind !== "p") {
    throw new ExclaimError("POOL_INVALID", `"${name}" is a view or foreign table: name the table behind it`, { table: name });
  }
  return { ...found, columns: found.columns.map((column) => ({ ...column, sql: quoteIdentifier(column.name) })) };
}
