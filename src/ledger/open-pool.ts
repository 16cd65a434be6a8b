import { ExclaimError } from "../errors.ts";
import type { QueryAnswer } from "./database.ts";
import { databaseError, databaseFault } from "./database-errors.ts";
import type { ColumnValue, PoolDefinition } from "./pool-definition.ts";
import { parseTableName, quoteIdentifier, quoteLiteral } from "./quote.ts";
import { type Column, type FoundTable, readTable, type TableIndex } from "./read-table.ts";
import type { Statements } from "./run-statement.ts";

/** A pool definition that was checked against the catalog: every name quoted, every type known. */
export interface OpenPool {
  /** `schema.table`, as the ledger records it; a part that holds a dot or a quote is quoted, so that no two tables share a name. */
  readonly name: string;
  /** Quoted and qualified, ready for SQL. */
  readonly table: string;
  readonly columns: ReadonlyMap<string, Column>;
  readonly owner: Column | null;
  readonly id: Column;
  /** What must hold for a row to be free, over the table's columns, in brackets. */
  readonly free: string;
  /** Columns of `set` with the literal each is given. */
  readonly set: readonly { readonly column: Column; readonly literal: string }[];
  /** `order by ...` or empty. */
  readonly orderBy: string;
  readonly indexes: readonly TableIndex[];
}

/**
 * Checks a pool definition against the database it is to be used on.
 * Throws POOL_INVALID, naming the table, the column and the remedy; DATABASE_UNREACHABLE, and a later call checks anew.
 */
export async function openPool(database: Statements, definition: PoolDefinition): Promise<OpenPool> {
  const found = await readTable(database, definition.table);
  const columns = new Map(found.columns.map((column) => [column.name, column]));
  const column = (name: string, option: string): Column => {
    const match = columns.get(name);
    if (match === undefined) {
      throw invalid(definition, `has no column "${name}" (${option}); its columns are ${[...columns.keys()].join(", ")}`, name);
    }
    return match;
  };

  const owner =
    definition.ownerColumn === undefined ? null : ownerColumn(definition, column(definition.ownerColumn, "ownerColumn"));
  const id = idColumn(definition, found, column);
  const set = Object.entries(definition.set ?? {}).map(([name, value]) => {
    const target = column(name, "set");
    if (target.name === owner?.name || target.name === id.name || target.generated) {
      throw invalid(definition, `"${name}" cannot be in set: it is the owner, the id or a generated column`, name);
    }
    return { column: target, literal: quoteLiteral(value, target.type) };
  });
  if (owner === null && (definition.where === undefined || set.length === 0)) {
    throw invalid(
      definition,
      "without an ownerColumn needs both where and set: they are what tells a free row from a taken one",
    );
  }

  const table = `${quoteIdentifier(found.schema)}.${quoteIdentifier(found.table)}`;
  const pool: OpenPool = {
    name: `${namePart(found.schema)}.${namePart(found.table)}`,
    table,
    columns,
    owner,
    id,
    free: freeCondition(definition, owner, column),
    set,
    orderBy: orderClause(definition, table, column),
    indexes: found.indexes,
  };
  await probe(database, definition, pool);
  return pool;
}

function ownerColumn(definition: PoolDefinition, owner: Column): Column {
  if (owner.generated)
    throw invalid(definition, `owner column "${owner.name}" is generated: use one that can be written`, owner.name);
  if (!owner.nullable) {
    throw invalid(
      definition,
      `owner column "${owner.name}" is NOT NULL, so no row can be free: alter table ... alter column ${owner.sql} drop not null`,
      owner.name,
    );
  }
  return owner;
}

function idColumn(definition: PoolDefinition, found: FoundTable, column: (name: string, option: string) => Column): Column {
  if (definition.idColumn !== undefined) {
    const id = column(definition.idColumn, "idColumn");
    if (!found.uniqueColumns.some((entry) => entry.name === id.name && (entry.alone || found.partitioned))) {
      throw invalid(definition, `id column "${id.name}" has no unique index of its own over all rows: add one`, id.name);
    }
    if (id.nullable) throw invalid(definition, `id column "${id.name}" may be null: alter it to NOT NULL`, id.name);
    return id;
  }
  const primary = found.uniqueColumns.filter((entry) => entry.primary);
  if (primary.length === 1 && primary[0] !== undefined) return column(primary[0].name, "idColumn");
  throw invalid(
    definition,
    primary.length === 0
      ? "has no primary key: add one, or name a unique, not null column as idColumn"
      : "has a primary key of several columns: name the one unique, not null column that identifies a row as idColumn",
  );
}

function freeCondition(
  definition: PoolDefinition,
  owner: Column | null,
  column: (name: string, option: string) => Column,
): string {
  const conditions: string[] = owner === null ? [] : [`${owner.sql} is null`];
  // The line break ends a trailing "--" comment of the user's SQL before the bracket closes.
  if (typeof definition.where === "string") conditions.push(`(${definition.where}\n)`);
  else
    conditions.push(...Object.entries(definition.where ?? {}).map(([name, value]) => equality(column(name, "where"), value)));
  return `(${conditions.join(" and ")})`;
}

function equality(column: Column, value: ColumnValue | null): string {
  return value === null ? `${column.sql} is null` : `${column.sql} = ${quoteLiteral(value, column.type)}`;
}

/** Qualified by the table: a bare name would mean the claim statement's own output column where one is called the same. */
function orderClause(definition: PoolDefinition, table: string, column: (name: string, option: string) => Column): string {
  if (definition.orderBy === undefined) return "";
  const terms = definition.orderBy.split(",").map((term) => {
    const match = /^\s*(\S|\S.*?\S)(?:\s+(asc|desc))?\s*$/is.exec(term);
    if (match?.[1] === undefined) throw invalid(definition, `orderBy "${definition.orderBy}" is not a list of columns`);
    return `${table}.${column(match[1], "orderBy").sql} ${match[2]?.toLowerCase() ?? "asc"}`;
  });
  return `order by ${terms.join(", ")}`;
}

/**
 * Runs the condition and the values of `set` once, so that wrong SQL shows now and not at the first message, and applies `set` to a
 * free row in thought: one that would still be free could be claimed for ever. What a computed column would become is not known
 * that way, and a table that has one is not judged.
 */
async function probe(database: Statements, definition: PoolDefinition, pool: OpenPool): Promise<void> {
  await run("where", `select 1 from ${pool.table} where ${pool.free} limit 1`);
  if (pool.set.length > 0) await run("set", `select ${pool.set.map(({ literal }) => literal).join(", ")}`);
  if (pool.owner !== null || [...pool.columns.values()].some((column) => column.computed)) return;
  const changes = pool.set.map(({ column, literal }) => `${quoteLiteral(column.name, "text")}, ${literal}`).join(", ");
  const after = `(jsonb_populate_record(null::${pool.table}, to_jsonb(x) || jsonb_build_object(${changes}))).*`;
  // Named like the table, so that the user's SQL may qualify its columns here too.
  const alias = quoteIdentifier(parseTableName(definition.table).table);
  const { rows } = await run(
    "where",
    `select 1 from (
      select ${after} from (select * from ${pool.table} where ${pool.free} limit 1) as x
    ) as ${alias} where ${pool.free}`,
  );
  if (rows.length > 0) throw invalid(definition, "would leave a claimed row free: let set write what makes where false");

  async function run(option: string, text: string): Promise<QueryAnswer> {
    try {
      return await database.run({ text });
    } catch (error) {
      const fault = databaseFault(error);
      if (fault === "unreachable" || fault === "transient" || fault === "forbidden") {
        throw databaseError(error, `pool table "${definition.table}" could not be checked`);
      }
      const reason = error instanceof Error ? error.message : String(error);
      throw invalid(definition, `cannot be used: ${option} does not run: ${reason}`, undefined, error);
    }
  }
}

function namePart(name: string): string {
  return /[."]/.test(name) ? quoteIdentifier(name) : name;
}

function invalid(definition: PoolDefinition, problem: string, column?: string, cause?: unknown): ExclaimError {
  return new ExclaimError("POOL_INVALID", `pool table "${definition.table}" ${problem}`, {
    table: definition.table,
    ...(column === undefined ? {} : { column }),
    ...(cause === undefined ? {} : { cause }),
  });
}
