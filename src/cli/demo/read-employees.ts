import { createReadStream } from "node:fs";
import { ExclaimError } from "../../errors.ts";
import { importPackage } from "../import-package.ts";

/** A person to give a voucher to. */
export interface Employee {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly department: string;
}

/** A row of the file: somebody, or why it is nobody. */
export type EmployeeRow =
  | { readonly line: number; readonly employee: Employee }
  | { readonly line: number; readonly rejected: string };

const COLUMNS = ["id", "name", "email", "department"] as const;

/** What csv-parse yields with `info` and `raw`. */
interface ParsedRow {
  readonly record: readonly string[];
  readonly raw: string;
  readonly info: { readonly empty_lines: number };
}

/**
 * Reads employees from a CSV file as a stream: a byte order mark, CRLF, quoted line breaks and blank lines are no obstacle.
 * Shape: a header of `id,name,email,department`, then one row a person; `line` counts from 1, where the row begins.
 * After: every row that is not blank was yielded once, in the file's order; one that cannot be used says why.
 * Throws CONFIG_INVALID: the file cannot be read, its header is another, or a quote is never closed.
 */
export async function* readEmployees(path: string): AsyncGenerator<EmployeeRow> {
  const { parse } = await importPackage("csv-parse", () => import("csv-parse"));
  const file = createReadStream(path);
  const parser = parse({ bom: true, skip_empty_lines: true, relax_column_count: true, info: true, raw: true });
  file.once("error", (error) => parser.destroy(error));
  let breaks = 0;
  let rows = 0;
  try {
    for await (const row of file.pipe(parser) as AsyncIterable<ParsedRow>) {
      const line = breaks + rows + row.info.empty_lines + 1;
      breaks += row.raw.trim().split("\n").length - 1;
      rows += 1;
      if (rows === 1) assertHeader(path, row.record);
      else yield { line, ...employeeOf(row.record) };
    }
  } catch (cause) {
    if (cause instanceof ExclaimError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExclaimError("CONFIG_INVALID", `cannot read the employees of ${path}: ${why}`, { cause });
  } finally {
    file.destroy();
  }
}

function assertHeader(path: string, record: readonly string[]): void {
  if (record.join() === COLUMNS.join()) return;
  throw new ExclaimError("CONFIG_INVALID", `${path} begins with "${record.join()}"; its header must be "${COLUMNS.join()}"`);
}

function employeeOf(record: readonly string[]): { employee: Employee } | { rejected: string } {
  const [id = "", name = "", email = "", department = ""] = record;
  if (record.length !== COLUMNS.length) return { rejected: `${record.length} columns instead of ${COLUMNS.length}` };
  if (!/^[1-9]\d{0,8}$/.test(id)) return { rejected: `id "${id}" is not a whole number` };
  if (name.trim() === "") return { rejected: "no name" };
  return { employee: { id: Number(id), name, email, department } };
}
