import { ExclaimError } from "../errors.ts";
import type { NumberedRow } from "./numbered-rows.ts";
import { RejectedRow } from "./rejected-row.ts";

/** A row by the names of its columns. */
export type CsvRow = Record<string, string>;

/** The fields of a row, and the line that it begins in. */
export interface CsvLine {
  readonly line: number;
  readonly fields: readonly string[];
}

/** Names the fields of rows. */
export class CsvTable {
  #columns: readonly string[] | undefined;

  constructor(columns: readonly string[] | undefined) {
    if (columns !== undefined) this.#columns = checkColumns(columns, "columns");
  }

  rowsOf(lines: readonly CsvLine[]): readonly NumberedRow<CsvRow>[] {
    const rows: NumberedRow<CsvRow>[] = [];
    for (const { line, fields } of lines) {
      const isBlank = fields.length === 1 && fields[0]?.trim() === "";
      if (this.#columns === undefined) {
        if (!isBlank) this.#columns = checkColumns(fields, `the header in line ${line}`);
      } else if (fields.length === this.#columns.length) {
        rows.push({ line, row: named(fields, this.#columns) });
      } else if (!isBlank) {
        const reason = `it has ${fields.length} columns instead of ${this.#columns.length}`;
        rows.push({ line, row: new RejectedRow(line, reason) });
      }
    }
    return rows;
  }

  /** Throws CONFIG_INVALID. */
  throwIfNameless(): void {
    if (this.#columns !== undefined) return;
    throw new ExclaimError("CONFIG_INVALID", "the file is empty: its first line must name the columns");
  }
}

function named(fields: readonly string[], columns: readonly string[]): CsvRow {
  const row: CsvRow = {};
  for (let at = 0; at < columns.length; at += 1) {
    const [name, value] = [columns[at] ?? "", fields[at] ?? ""];
    // A column of that name is a column like any other: to assign it would set the row's prototype.
    if (name === "__proto__") Object.defineProperty(row, name, { value, enumerable: true, writable: true, configurable: true });
    else row[name] = value;
  }
  return row;
}

/** Throws CONFIG_INVALID. */
function checkColumns(names: readonly string[], what: string): readonly string[] {
  const columns = names.map((name) => String(name).trim());
  const nameless = columns.indexOf("");
  if (columns.length === 0 || nameless !== -1) {
    throw new ExclaimError("CONFIG_INVALID", `${what}: column ${nameless + 1} has no name; each column needs one`);
  }
  const twice = columns.find((name, at) => columns.indexOf(name) !== at);
  if (twice === undefined) return columns;
  throw new ExclaimError(
    "CONFIG_INVALID",
    `${what}: two columns are called "${twice.slice(0, 80)}"; give each a name of its own`,
  );
}
