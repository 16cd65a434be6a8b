import { ExclaimError } from "../errors.ts";
import type { OpenPool } from "./open-pool.ts";
import type { PoolDefinition, Scope } from "./pool-definition.ts";
import { columnText } from "./quote.ts";
import type { Column } from "./read-table.ts";

/** A scope as a statement takes it: columns in a fixed order, values as text that PostgreSQL casts to their types. */
export interface OpenScope {
  readonly columns: readonly Column[];
  readonly values: readonly string[];
}

/** Checks a scope's columns against the pool's table. Throws POOL_INVALID: no such column. */
export function openScope(definition: PoolDefinition, pool: OpenPool, scope: Scope): OpenScope {
  const entries = Object.entries(scope).sort(([a], [b]) => (a < b ? -1 : 1));
  const columns = entries.map(([name]) => {
    const column = pool.columns.get(name);
    if (column !== undefined) return column;
    throw new ExclaimError(
      "POOL_INVALID",
      `pool table "${definition.table}" has no column "${name}" (scope); its columns are ${[...pool.columns.keys()].join(", ")}`,
      {
        table: definition.table,
        column: name,
      },
    );
  });
  return { columns, values: entries.map(([, value]) => columnText(value)) };
}
