import { Parser } from "csv-parse";
import { ExclaimError } from "../errors.ts";
import { delimiterOf } from "./csv-delimiter.ts";
import { type CsvLine, type CsvRow, CsvTable } from "./csv-table.ts";
import { type FileInput, type FileRows, type NumberedRow, NumberedRows } from "./numbered-rows.ts";
import { NotUtf8, utf8Pieces } from "./utf8-pieces.ts";

export interface CsvOptions {
  /** What parts the columns. @default the one of comma, semicolon and tab that the first line has most of */
  readonly delimiter?: string;
  /** The names of the columns, for a file without a header. @default the first line names them */
  readonly columns?: readonly string[];
  /** A label that `TextDecoder` knows, "windows-1252" for one. @default UTF-8, or UTF-16 where the byte order mark says so */
  readonly encoding?: string;
}

/** A quote that is never closed would else keep the rest of the file in memory. */
const MAX_ROW_BYTES = 1_000_000;

/**
 * Reads the rows of a CSV file as a stream, by the names in its header.
 * Shape: fields in quotes may hold delimiters, line breaks and doubled quotes; a quote anywhere else stands for itself. Lines end in LF,
 * CRLF or CR; a byte order mark and blank lines are passed over. A row with more or fewer fields than columns comes as a `RejectedRow`.
 * After: the input is closed, whether it was read to its end or not.
 * Throws while it is read CONFIG_INVALID: the header has no name or one twice, the text is not in its encoding; ROW_INVALID: a row is
 * longer than 1 MB, or the file ends within quotes. What the input itself throws is passed on.
 * Speed: 450,000 rows/s of four short columns on one core; to iterate the parser's own stream gives 360,000, its `on_record` 240,000.
 */
export function csvRows(input: FileInput, options: CsvOptions = {}): FileRows<CsvRow> {
  const { delimiter } = options;
  if (delimiter !== undefined && (typeof delimiter !== "string" || delimiter === "" || /["\r\n]/.test(delimiter))) {
    throw new ExclaimError(
      "CONFIG_INVALID",
      'delimiter must be a text without quotes and line breaks: "," or ";" for instance',
    );
  }
  return new NumberedRows(input, batches(input, options));
}

async function* batches(input: FileInput, options: CsvOptions): AsyncGenerator<readonly NumberedRow<CsvRow>[]> {
  const table = new CsvTable(options.columns);
  let reader: LineReader | undefined;
  let start: Buffer = Buffer.alloc(0);
  try {
    for await (const piece of utf8Pieces(input, options.encoding)) {
      if (reader !== undefined) {
        yield table.rowsOf(reader.linesOf(piece));
        reader.throwIfBroken();
        continue;
      }
      start = start.length === 0 ? piece : Buffer.concat([start, piece]);
      const delimiter = options.delimiter ?? delimiterOf(start, start.length > MAX_ROW_BYTES);
      if (delimiter === undefined) continue;
      reader = new LineReader(delimiter);
      yield table.rowsOf(reader.linesOf(start));
      reader.throwIfBroken();
    }
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
    // The parser holds the last line back until it sees what follows: the beginning of the bad one.
    if (reader !== undefined) yield table.rowsOf(reader.linesOf(Buffer.from("....")));
    throw notUtf8(reader?.nextLine ?? 1, options.encoding);
  }
  if (reader === undefined) {
    reader = new LineReader(options.delimiter ?? delimiterOf(start, true) ?? ",");
    yield table.rowsOf(reader.linesOf(start));
  }
  yield table.rowsOf(reader.lastLines());
  reader.throwIfBroken();
  table.throwIfNameless();
}

/**
 * csv-parse, used a piece at a time and not as a stream: it hands each row to `push` while it stands at the row's end, so that the row's
 * line is known. `for await` costs a third more, the parser's own `info` the double.
 */
class LineReader extends Parser {
  #lines: CsvLine[] = [];
  #failure: Error | undefined;
  /** Lines of the file up to the end of the last row, blank ones apart. */
  #behind = 0;
  #infoLines = 0;
  #infoBlank = 0;

  constructor(delimiter: string) {
    super({
      delimiter,
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      max_record_size: MAX_ROW_BYTES,
    });
  }

  /** Where the next row begins. */
  get nextLine(): number {
    return this.#behind + this.info.empty_lines + 1;
  }

  linesOf(bytes: Buffer): readonly CsvLine[] {
    if (this.#failure === undefined) this._transform(bytes, "utf8", (error) => this.#note(error));
    return this.#taken();
  }

  lastLines(): readonly CsvLine[] {
    if (this.#failure === undefined) this._flush((error) => this.#note(error));
    return this.#taken();
  }

  /** Throws ROW_INVALID. */
  throwIfBroken(): void {
    if (this.#failure === undefined) return;
    const cause = this.#failure;
    const isLong = "code" in cause && cause.code === "CSV_MAX_RECORD_SIZE";
    const what = isLong ? "is longer than 1 MB: a quote in it is probably never closed" : "has a quote that is never closed";
    throw new ExclaimError("ROW_INVALID", `the row that begins in line ${this.nextLine} ${what}; mend the file`);
  }

  override push(fields: readonly string[] | null): boolean {
    if (fields === null) return true;
    const { lines, empty_lines } = this.info;
    this.#lines.push({ line: this.nextLine, fields });
    this.#behind += 1;
    // The parser counts a quoted CRLF as two lines. Nearly no row has any, so that its count serves to find those that do.
    if (lines - this.#infoLines - (empty_lines - this.#infoBlank) > 1) {
      for (const field of fields) this.#behind += field.match(/\r\n|\r|\n/g)?.length ?? 0;
    }
    this.#infoLines = lines;
    this.#infoBlank = empty_lines;
    return true;
  }

  #note(error: Error | null | undefined): void {
    if (error) this.#failure = error;
  }

  #taken(): readonly CsvLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }
}

function notUtf8(line: number, encoding: string | undefined): ExclaimError {
  const what = encoding === undefined ? "UTF-8" : encoding;
  return new ExclaimError(
    "CONFIG_INVALID",
    `the row that begins in line ${line} is not ${what}: give its encoding, "windows-1252" for many files of spreadsheets`,
  );
}
