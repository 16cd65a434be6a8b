import { ExclaimError } from "../errors.ts";
import { databaseFault } from "./database-errors.ts";
import { openPool } from "./open-pool.ts";
import type { OpenScope } from "./open-scope.ts";
import type { PoolDefinition } from "./pool-definition.ts";
import type { Statements } from "./run-statement.ts";

/**
 * Names what a statement did not find in the database: a part of the pool, which was there when it was checked and is checked
 * again; the equality that a scope column's type does not have; or else, as `error` says, the ledger.
 */
export async function missingObject(
  server: Statements,
  definition: PoolDefinition,
  scope: OpenScope | undefined,
  error: ExclaimError,
): Promise<ExclaimError> {
  try {
    const pool = await openPool(server, definition);
    for (const [index, column] of (scope?.columns ?? []).entries()) {
      const comparing = { text: `select 1 from ${pool.table} where ${column.sql} = $1::${column.type} limit 0` };
      const fault = await server.run({ ...comparing, values: [scope?.values[index]] }).then(() => null, databaseFault);
      if (fault !== "schema") continue;
      return new ExclaimError(
        "SCOPE_INVALID",
        `column "${column.name}" cannot be in a scope: type ${column.declaredType} knows no equality`,
        { table: definition.table, column: column.name, cause: error },
      );
    }
    return error;
  } catch (found) {
    return found instanceof ExclaimError ? found : error;
  }
}
