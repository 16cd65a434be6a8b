import { ExclaimError } from "../errors.ts";
import { NEW_CLAIM_COLUMNS } from "./claim-new-rows.ts";
import { ANSWER_COLUMNS } from "./claim-rows.ts";
import type { QueryAnswer } from "./database.ts";
import type { ClaimAnswer, ClaimRef, Row } from "./ledger.ts";

/** The hint for a wait nobody can foresee: a row locked by a statement in flight is free again in an instant. */
export const UNKNOWN_WAIT_MS = 100;

/**
 * Turns the rows of a claim statement into answers, one a request. Rows come as arrays: ANSWER_COLUMNS, then the user's own.
 * Throws POOL_INVALID: one claim was answered twice, since two rows of the table have its id.
 */
export function claimAnswers(poolName: string, requests: number, answer: QueryAnswer): readonly ClaimAnswer[] {
  if (answer.rows.length !== requests) throw twoRowsOfOneId(poolName);
  // The column after ours is the join key of the user's columns.
  const ownColumns = answer.fields.slice(ANSWER_COLUMNS.length + 1).map((field) => field.name);
  return answer.rows.map((row) => claimAnswer(poolName, ownColumns, row as unknown[]));
}

/** What came of claims that were tried as new ones. */
export interface NewClaims {
  /** Those that were made, by holder. */
  readonly made: ReadonlyMap<string, ClaimAnswer>;
  /** There were too few free rows for the new claimants. */
  readonly isShort: boolean;
  /** The highest id that was claimed, where the search goes by id. */
  readonly lastId: string | undefined;
}

/** Rows come as arrays: NEW_CLAIM_COLUMNS, then the user's own. */
export function newClaims(poolName: string, answer: QueryAnswer): NewClaims {
  const ownColumns = answer.fields.slice(NEW_CLAIM_COLUMNS.length).map((field) => field.name);
  const made = new Map<string, ClaimAnswer>();
  let [isShort, lastId]: [boolean, string | undefined] = [false, undefined];
  for (const found of answer.rows) {
    const values = found as unknown[];
    const [short, last, holder, claimant, scope, resourceId, token] = values as [
      short: boolean,
      last: string | null,
      holder: string | null,
      claimant: string,
      scope: string,
      resourceId: string,
      token: string,
    ];
    isShort = short;
    if (holder === null) continue;
    lastId = last ?? undefined;
    const claim: ClaimRef = { pool: poolName, scope, claimant, resourceId, token: BigInt(token) };
    const row = namedRow(ownColumns, values.slice(NEW_CLAIM_COLUMNS.length));
    made.set(holder, { status: "claimed", claim, attempt: 1, resumed: false, row });
  }
  return { made, isShort, lastId };
}

function twoRowsOfOneId(pool: string): ExclaimError {
  return new ExclaimError("POOL_INVALID", `pool table "${pool}" has two rows of the same id: make the id column unique`, {
    pool,
  });
}

function claimAnswer(pool: string, ownColumns: readonly string[], values: readonly unknown[]): ClaimAnswer {
  const [status, claimant, scope, resourceId, token, attempt, resumed, result, retryAfterMs] = values as [
    status: string,
    claimant: string,
    scope: string,
    resourceId: string,
    token: string,
    attempt: number,
    resumed: boolean,
    result: string | null,
    retryAfterMs: number | null,
  ];
  switch (status) {
    case "claimed": {
      const claim: ClaimRef = { pool, scope, claimant, resourceId, token: BigInt(token) };
      return { status, claim, attempt, resumed, row: namedRow(ownColumns, values.slice(ANSWER_COLUMNS.length + 1)) };
    }
    case "replayed":
      return { status, result: result ?? undefined };
    case "contended":
      return { status, retryAfterMs: retryAfterMs === null ? UNKNOWN_WAIT_MS : Math.max(1, Math.ceil(retryAfterMs)) };
    case "empty":
    case "taken":
      return { status };
    default:
      return {
        status: "refused",
        error: new ExclaimError(
          "ROW_CHANGED",
          "the row this claimant had was removed or given to another owner behind exclaim's back: put it right in the table, or release the claim",
          { pool, claimant },
        ),
      };
  }
}

function namedRow(names: readonly string[], values: readonly unknown[]): Row {
  const row: Row = {};
  names.forEach((name, index) => {
    const value = values[index];
    // A column may be called "__proto__", and plain assignment would then change the row's prototype.
    Object.defineProperty(row, name, { value, enumerable: true, writable: true, configurable: true });
  });
  return row;
}
