import { UsageError } from "../exit-codes.ts";
import type { ImportRow } from "./import-file.ts";
import type { ImportSettings } from "./import-settings.ts";

/** Adds one `--map column=field`, or `--map column` under its own name. Throws UsageError: nothing in it, or a field a second time. */
export function addMapping(text: string, earlier: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  // The last one: a column's name may hold the sign, a field's hardly.
  const sign = text.lastIndexOf("=");
  const column = sign === -1 ? text : text.slice(0, sign);
  const field = sign === -1 ? text : text.slice(sign + 1);
  if (column === "" || field === "") throw new UsageError(`--map ${text}: write column=field`);
  if (Object.hasOwn(earlier, field)) throw new UsageError(`--map: two columns go to the field ${field}`);
  return Object.fromEntries([...Object.entries(earlier), [field, column]]);
}

/** What a row is called; whether that can be used, `fanOut` says. Throws where JSON has lost digits: two rows would become one. */
export function keyOf(row: ImportRow, { key }: ImportSettings): string | number {
  const value = Object.hasOwn(row, key) ? row[key] : "";
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Error("the number is too long for JSON: the file must have it in quotes");
  }
  return value as string | number;
}

/** The payload: the row, or the columns that are mapped and no others. */
export function payloadOf(row: ImportRow, { map }: ImportSettings): ImportRow {
  if (map === undefined) return row;
  const fields = Object.entries(map).filter(([, column]) => Object.hasOwn(row, column));
  return Object.fromEntries(fields.map(([field, column]) => [field, row[column]]));
}
