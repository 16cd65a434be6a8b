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
export interface MadeClaims {
  /** Those that were made, by holder. */
  readonly made: ReadonlyMap<string, Extract<ClaimAnswer, { status: "claimed" }>>;
  /** Scopes, as the ledger writes them, that had too few free rows for the new claimants. */
  readonly short: readonly string[];
  /** Of each scope the id to begin behind the next time, where the search goes by id. */
  readonly nextIds: ReadonlySet<string>;
}

/** Rows come as arrays: NEW_CLAIM_COLUMNS, then the user's own. */
export function newClaims(poolName: string, answer: QueryAnswer): MadeClaims {
  const ownColumns = answer.fields.slice(NEW_CLAIM_COLUMNS.length).map((field) => field.name);
  const made = new Map<string, Extract<ClaimAnswer, { status: "claimed" }>>();
  for (const found of answer.rows) {
    const values = found as unknown[];
    const [, , holder, claimant, scope, resourceId, token] = values as NewClaimValues;
    if (holder === null) continue;
    const claim: ClaimRef = { pool: poolName, scope, claimant, resourceId, token: BigInt(token) };
    const row = namedRow(ownColumns, values, NEW_CLAIM_COLUMNS.length);
    made.set(holder, { status: "claimed", claim, attempt: 1, resumed: false, row });
  }
  // Said of all, once.
  const first = answer.rows.find((row) => (row as NewClaimValues)[0] !== null) as NewClaimValues | undefined;
  return { made, short: JSON.parse(first?.[0] ?? "[]"), nextIds: new Set(JSON.parse(first?.[1] ?? "[]")) };
}

/** NEW_CLAIM_COLUMNS as they come: two lists as JSON, then the claim, null where none was made. */
type NewClaimValues = [
  short: string | null,
  nextIds: string | null,
  holder: string | null,
  claimant: string,
  scope: string,
  resourceId: string,
  token: string,
];

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
      return { status, claim, attempt, resumed, row: namedRow(ownColumns, values, ANSWER_COLUMNS.length + 1) };
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

/** The user's columns, which begin at `first`. */
function namedRow(names: readonly string[], values: readonly unknown[], first: number): Row {
  const row: Row = {};
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index] as string;
    const value = values[first + index];
    // A column may be called "__proto__", and plain assignment would then change the row's prototype.
    if (name === "__proto__") Object.defineProperty(row, name, { value, enumerable: true, writable: true, configurable: true });
    else row[name] = value;
  }
  return row;
}
