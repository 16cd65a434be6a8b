import { ExclaimError } from "../errors.ts";
import type { ColumnValue } from "./pool-definition.ts";

/** PostgreSQL cuts longer names with nothing but a notice, so two names could become one. */
const MAX_IDENTIFIER_BYTES = 63;

/**
 * Quotes one identifier for SQL, doubling the quotes it holds.
 * Throws CONFIG_INVALID: empty, longer than 63 bytes, with a NUL byte or half a character.
 * Source: PostgreSQL manual 4.1.1, Identifiers and Key Words.
 */
export function quoteIdentifier(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > MAX_IDENTIFIER_BYTES || !isStorable(name)) {
    throw new ExclaimError("CONFIG_INVALID", `"${name.slice(0, 80)}" is no identifier: use 1 to ${MAX_IDENTIFIER_BYTES} bytes`);
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a value of the program's own (never of a message) as a literal of `type`, e.g. `'false'::boolean`. */
export function quoteLiteral(value: ColumnValue | null, type: string): string {
  if (value === null) return `null::${type}`;
  const text = Array.isArray(value) && type.endsWith("[]") ? arrayText(value) : columnText(value);
  if (!isStorable(text)) {
    throw new ExclaimError("CONFIG_INVALID", "a value of the pool definition holds a NUL byte or half a character");
  }
  const quoted = text.replaceAll("'", "''");
  const literal = quoted.includes("\\") ? `E'${quoted.replaceAll("\\", "\\\\")}'` : `'${quoted}'`;
  return `${literal}::${type}`;
}

/** Half a character would be sent as U+FFFD, and two texts could become one. */
function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

/** The text form of a column value as PostgreSQL reads it. */
export function columnText(value: ColumnValue): string {
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.toString("hex")}`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Source: PostgreSQL manual 8.15.2, Array Value Input. */
function arrayText(values: readonly unknown[]): string {
  const items = values.map((value) => {
    if (value === null || value === undefined) return "null";
    if (Array.isArray(value)) return arrayText(value);
    return `"${columnText(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  });
  return `{${items.join(",")}}`;
}

/**
 * Splits `table` or `schema.table`; a part in double quotes may hold dots, and doubled quotes stand for one.
 * Throws POOL_INVALID: not of that form.
 */
export function parseTableName(name: string): { schema: string | null; table: string } {
  const match = /^(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)$/.exec(name);
  if (match?.[2] === undefined || !isStorable(name)) {
    throw new ExclaimError("POOL_INVALID", `table "${name.slice(0, 160)}" is neither "table" nor "schema.table"`, {
      table: name.slice(0, 160),
    });
  }
  return { schema: match[1] === undefined ? null : unquote(match[1]), table: unquote(match[2]) };
}

function unquote(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
}
