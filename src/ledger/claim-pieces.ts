import type { OpenPool } from "./open-pool.ts";
import type { Column } from "./read-table.ts";
import { stableText } from "./stable-text.ts";

/** What decides the pieces of a claim statement; equal shapes share them. */
export interface ClaimShape {
  readonly schema: string;
  readonly pool: OpenPool;
  readonly scope: readonly Column[];
}

/** SQL of a scope column's value, of the column's type. */
export type ScopeValues = (column: Column, index: number) => string;

/** SQL that the statements which claim rows have in common. */
export interface ClaimPieces {
  /** The canonical text of the scope. */
  scope(values: ScopeValues): string;
  /** Conditions on a row to be in the scope, each behind an `and`. */
  inScope(values: ScopeValues): string;
  /** What `set` is about to overwrite, as the ledger keeps it for the release. */
  readonly previous: string;
  /** The assignments of the owner column and of `set`; the claimant is `i.claimant`. */
  readonly writes: string;
  /** Whether the row `t` has taken the owner `i.claimant` as it was given. */
  readonly written: string;
  /** The condition that the row `t` has no owner yet, behind an `and`. */
  readonly stillFree: string;
  /** The given text as the owner column's type writes it, so that "07" and "7" are one claimant. */
  claimant(text: string): string;
  /** The id's text, of the pool's table or of another name for it. */
  idText(table?: string): string;
}

/**
 * Claims in one statement. Stands in a claim statement as a second LIMIT, which changes nothing but what the planner expects: of a
 * computed limit it assumes a tenth of the pool, and then reads the whole table to find the few rows it has just chosen.
 */
export const MAX_CLAIM_BATCH = 200;

export function claimPieces({ schema, pool, scope }: ClaimShape): ClaimPieces {
  const { owner, id } = pool;
  return {
    scope: (values) =>
      scope.length === 0
        ? `'{}'`
        : `jsonb_build_object(${scope.map((column, index) => `${quoted(column.name)}, ${stableText(schema, column, values(column, index))}`).join(", ")})::text`,
    inScope: (values) => scope.map((column, index) => ` and ${pool.table}.${column.sql} = ${values(column, index)}`).join(""),
    previous:
      pool.set.length === 0
        ? "null::jsonb"
        : `jsonb_build_object(${pool.set.map(({ column }) => `${quoted(column.name)}, ${stableText(schema, column)}`).join(", ")})`,
    writes: [
      ...(owner === null ? [] : [`${owner.sql} = i.claimant::${owner.type}`]),
      ...pool.set.map(({ column, literal }) => `${column.sql} = ${literal}`),
    ].join(", "),
    written: owner === null ? "true" : `${stableText(schema, owner, `t.${owner.sql}`)} = i.claimant`,
    stillFree: owner === null ? "" : ` and t.${owner.sql} is null`,
    claimant: (text) => (owner === null ? text : stableText(schema, owner, `${text}::${owner.type}`)),
    idText: (table) => stableText(schema, id, table === undefined ? id.sql : `${table}.${id.sql}`),
  };
}

function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
