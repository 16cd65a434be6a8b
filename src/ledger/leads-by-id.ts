import type { OpenPool } from "./open-pool.ts";
import type { Column, TableIndex } from "./read-table.ts";

/**
 * Whether the free rows of a scope can be read in the order of their ids without looking at others: then the next search can begin behind
 * the last one, and reads no more past rows that were claimed.
 * An index on free rows that does not lead by id tells how the user means the pool to be searched, and so does `orderBy`: neither is
 * argued with. Were the ids' order asked for all the same, the planner might walk through all claimed rows along the primary key.
 */
export function leadsById(pool: OpenPool, scope: readonly Column[]): boolean {
  if (pool.orderBy !== "") return false;
  const leading = pool.indexes.filter(({ columns }) => leads(columns, scope, pool.id));
  const isOnFreeRows = ({ predicate }: TableIndex): boolean =>
    predicate !== null &&
    (pool.owner === null ||
      predicate.includes(`${pool.owner.sql} IS NULL`) ||
      predicate.includes(`${pool.owner.name} IS NULL`));
  if (leading.some(isOnFreeRows)) return true;
  return leading.some(({ predicate }) => predicate === null) && !pool.indexes.some(isOnFreeRows);
}

/** First the scope's columns, in any order, then the id. */
function leads(columns: readonly (string | null)[], scope: readonly Column[], id: Column): boolean {
  const first = columns.slice(0, scope.length);
  return scope.every(({ name }) => first.includes(name)) && columns[scope.length] === id.name;
}
