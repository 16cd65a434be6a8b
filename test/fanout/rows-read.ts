import { csvRows } from "../../src/fanout/csv-rows.ts";
import type { CsvOptions, FileInput, FileRows } from "../../src/fanout/fan-out.ts";
import { RejectedRow } from "../../src/fanout/rejected-row.ts";

/** Yields text or bytes in pieces of a size. */
export async function* inPieces(content: string | Uint8Array, size = Number.POSITIVE_INFINITY): FileInput & AsyncGenerator {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Every row with its line; a rejected one as its reason. */
export async function read<R>(rows: FileRows<R>): Promise<readonly (readonly [line: number, row: R | string])[]> {
  const all: (readonly [number, R | string])[] = [];
  for await (const row of rows) {
    if (row instanceof RejectedRow) all.push([row.line, row.reason]);
    else all.push([rows.line, row]);
  }
  return all;
}

export function readCsv(content: string | Uint8Array, options?: CsvOptions, size?: number): ReturnType<typeof read> {
  return read(csvRows(inPieces(content, size), options));
}
