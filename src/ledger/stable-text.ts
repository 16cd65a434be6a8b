import type { Column } from "./read-table.ts";

/**
 * SQL for the text of a column's value, the same in every session: what it stands for is compared with what another process, with
 * other settings, wrote into the ledger.
 * Shape: `schema` is the ledger's, quoted; `value` is SQL of the column's type, the column itself unless given.
 */
export function stableText(schema: string, column: Column, value: string = column.sql): string {
  return column.plainText ? `(${value})::text` : `${schema}.stable_text(${value})`;
}
