import { ExclaimError } from "../errors.ts";
import { type FileInput, type FileRows, type NumberedRow, NumberedRows } from "./numbered-rows.ts";
import { RejectedRow } from "./rejected-row.ts";
import { NotUtf8, utf8Pieces } from "./utf8-pieces.ts";

const MAX_LINE_LENGTH = 1_000_000;

/**
 * Reads rows from a file of one JSON value a line, as a stream.
 * Shape: UTF-8, lines that end in LF or CRLF; a byte order mark and blank lines are passed over. A line that is not JSON, or longer than
 * 1,000,000 characters, comes as a `RejectedRow`. `R` is what the caller knows of the values: nothing checks it here.
 * After: the input is closed, whether it was read to its end or not.
 * Throws while it is read CONFIG_INVALID: the text is not UTF-8. What the input itself throws is passed on.
 */
export function ndjsonRows<R = Record<string, unknown>>(input: FileInput): FileRows<R> {
  return new NumberedRows<R>(input, batches<R>(input));
}

async function* batches<R>(input: FileInput): AsyncGenerator<readonly NumberedRow<R>[]> {
  let line = 0;
  let open = "";
  let isTooLong = false;
  const rows: NumberedRow<R>[] = [];
  const take = (text: string): void => {
    line += 1;
    if (isTooLong || text.length > MAX_LINE_LENGTH) rows.push({ line, row: new RejectedRow(line, "it is longer than 1 MB") });
    else if (text.trim() !== "") rows.push({ line, row: parsed<R>(text, line) });
    isTooLong = false;
  };
  try {
    for await (const piece of utf8Pieces(input, undefined)) {
      const lines = (open + piece.toString()).split("\n");
      open = lines.pop() ?? "";
      for (const text of lines) take(text);
      if (open.length > MAX_LINE_LENGTH) {
        isTooLong = true;
        open = "";
      }
      yield rows.splice(0);
    }
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
    throw new ExclaimError("CONFIG_INVALID", `line ${line + 1} is not UTF-8: JSON is; write the file anew`);
  }
  if (isTooLong || open !== "") take(open);
  yield rows;
}

function parsed<R>(text: string, line: number): R | RejectedRow {
  try {
    return JSON.parse(text) as R;
  } catch {
    return new RejectedRow(line, "it is not JSON");
  }
}
