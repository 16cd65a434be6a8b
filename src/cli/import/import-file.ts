import { createHash } from "node:crypto";
import { createReadStream, type ReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { csvRows } from "../../fanout/csv-rows.ts";
import { ndjsonRows } from "../../fanout/ndjson-rows.ts";
import type { FileRows } from "../../fanout/numbered-rows.ts";
import { RejectedRow } from "../../fanout/rejected-row.ts";
import { UsageError } from "../exit-codes.ts";
import { reasonOf } from "../explain-error.ts";
import type { ImportFormat, ImportSettings } from "./import-settings.ts";

/** Of each end of the file. */
const FINGERPRINT_BYTES = 65_536;

export type ImportRow = Readonly<Record<string, unknown>>;

/** A file that is being read. */
export interface OpenFile {
  readonly rows: FileRows<ImportRow>;
  readonly size: number;
  /** How much of it was read by now. */
  bytesRead(): number;
  /** Stops reading. Idempotent. */
  close(): void;
}

/** The file's absolute path. Throws UsageError: it is not there, or no file. */
export async function findFile(path: string): Promise<string> {
  const absolute = resolve(path);
  const found = await stat(absolute).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be read: ${reasonOf(error)}`);
  });
  if (!found.isFile()) throw new UsageError(`${path} is no file`);
  return absolute;
}

/** By the name's extension. Throws UsageError: it says nothing. */
export function formatOf(path: string): ImportFormat {
  const extension = extname(path).toLowerCase();
  if ([".csv", ".tsv", ".txt"].includes(extension)) return "csv";
  if ([".ndjson", ".jsonl"].includes(extension)) return "ndjson";
  throw new UsageError(`what is in ${path}? --format csv or --format ndjson`);
}

/** Tells a file from another, and from itself once it was changed, without reading all of it: its size and both its ends. */
export async function fingerprintOf(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const digest = createHash("sha256");
    for (const position of [0, Math.max(0, size - FINGERPRINT_BYTES)]) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FINGERPRINT_BYTES), 0, FINGERPRINT_BYTES, position);
      digest.update(buffer.subarray(0, bytesRead));
    }
    return `${size}-${digest.digest("hex")}`;
  } finally {
    await file.close();
  }
}

/** Opens the file. Throws as `assertColumns`. */
export async function openFile(settings: ImportSettings): Promise<OpenFile> {
  const { size } = await stat(settings.file);
  if (settings.format === "csv") await assertColumns(settings);
  const stream = createReadStream(settings.file);
  return {
    rows: rowsOf(stream, settings),
    size,
    bytesRead: () => stream.bytesRead,
    close: () => void stream.destroy(),
  };
}

/** Looks at the first row. Throws UsageError: it has no column that the settings name; else every single row would be rejected for it. */
async function assertColumns(settings: ImportSettings): Promise<void> {
  for await (const row of rowsOf(createReadStream(settings.file), settings)) {
    if (row instanceof RejectedRow) continue;
    const missing = columnsOf(settings).filter((column) => !Object.hasOwn(row, column));
    if (missing.length === 0) return;
    const list = (names: readonly string[]) => names.map((name) => JSON.stringify(name)).join(", ");
    throw new UsageError(`the file has no column ${list(missing)}; it has ${list(Object.keys(row))}`);
  }
}

function rowsOf(stream: ReadStream, { format, delimiter }: ImportSettings): FileRows<ImportRow> {
  if (format === "ndjson") return ndjsonRows(stream);
  return csvRows(stream, delimiter === undefined ? {} : { delimiter });
}

function columnsOf({ key, map }: ImportSettings): readonly string[] {
  return [...new Set([key, ...Object.values(map ?? {})])];
}
