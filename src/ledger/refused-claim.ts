import { ExclaimError } from "../errors.ts";
import { databaseFault } from "./database-errors.ts";
import type { ClaimRequest } from "./ledger.ts";
import type { OpenPool } from "./open-pool.ts";
import type { OpenScope } from "./open-scope.ts";
import type { Column } from "./read-table.ts";
import type { Statements } from "./run-statement.ts";

/**
 * Names the part of a single claim that the database would not take. Asked only after the claim failed by itself: each part is
 * cast alone, and what does not fit is to blame; when all do, a trigger or constraint of the user's table is.
 */
export async function refusedClaim(
  server: Statements,
  pool: OpenPool,
  scope: OpenScope,
  request: ClaimRequest,
  cause: unknown,
): Promise<ExclaimError> {
  const about = { pool: pool.name, claimant: request.claimant, cause };
  if (pool.owner !== null && !(await fits(request.claimant, pool.owner))) {
    const { name, declaredType } = pool.owner;
    return new ExclaimError("CLAIMANT_INVALID", `the claimant does not fit owner column "${name}" of type ${declaredType}`, {
      ...about,
      column: name,
    });
  }
  for (const [index, column] of scope.columns.entries()) {
    if (await fits(scope.values[index] ?? "", column)) continue;
    return new ExclaimError(
      "SCOPE_INVALID",
      `the scope's value does not fit column "${column.name}" of type ${column.declaredType}`,
      { ...about, column: column.name },
    );
  }
  if (request.pick !== null && !(await fits(request.pick, pool.id))) {
    return new ExclaimError("PICK_INVALID", `the picked id does not fit id column "${pool.id.name}" of type ${pool.id.type}`, {
      ...about,
      column: pool.id.name,
    });
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ExclaimError("CLAIM_REFUSED", `the pool table refused the claim: ${reason}`, about);

  /** A cast to the declared type cuts a text that is too long, where writing it into the column fails. */
  async function fits(text: string, { type, declaredType }: Column): Promise<boolean> {
    try {
      const { rows } = await server.run({
        text: `select ($1::text::${type})::text = ($1::text::${declaredType})::text as fits`,
        values: [text],
      });
      return (rows[0] as { fits: boolean }).fits;
    } catch (error) {
      return databaseFault(error) !== "member";
    }
  }
}
