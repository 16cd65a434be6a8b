import type { ImportRowRef } from "./import-message-id.ts";

/**
 * The contracts of what is remembered of bulk imports: how far each has come, and what became of each row. The states and invariants are
 * in `migrations/0007-imports.sql`.
 */

/** Where an import stands. `finished`: published, and no row of it is pending. */
export type ImportState = "running" | "published" | "finished" | "stopped" | "cancelled" | "failed";

/** What became of a row that a message was published for. */
export type ImportRowState = "pending" | "claimed" | "replayed" | "refused" | "dead-lettered";

/** The rows of an import by what became of them. `rows` is the sum of the others, whenever it is asked. */
export interface ImportCounts {
  /** Rows of the source that were read and recorded. */
  readonly rows: number;
  readonly pending: number;
  readonly claimed: number;
  readonly replayed: number;
  readonly refused: number;
  readonly deadLettered: number;
  /** Invalid rows, and rows the broker would not take. */
  readonly rejected: number;
  /** Rows whose key an earlier row of the same import has. */
  readonly duplicated: number;
}

export interface ImportStatus extends ImportCounts {
  readonly id: string;
  /** For people: a file's name. */
  readonly source: string;
  /** For people: where its messages go. */
  readonly target: string;
  readonly state: ImportState;
  /** Why it stopped or failed. */
  readonly reason: string | undefined;
  readonly createdAt: Date;
  /** When its newest run was last heard of: one that is `running` and silent for long has died. */
  readonly updatedAt: Date;
  readonly publishedAt: Date | undefined;
  /** As given to its latest run that gave any: what somebody needs to resume it. */
  readonly settings: Readonly<Record<string, unknown>> | undefined;
}

/** One row of the source, and what became of it. */
export interface ImportReportRow {
  /** Of the file, or the row's number, from 1. */
  readonly line: number;
  readonly key: string | undefined;
  readonly state: ImportRowState | "rejected" | "duplicated";
  /** The user's table, or the named resource. */
  readonly pool: string | undefined;
  /** The row or key that the claimant has: its own by this import, or for `replayed` the one it had before. */
  readonly resourceId: string | undefined;
  /** Why, where there is a reason to give: stable code, and text for people. */
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly settledAt: Date | undefined;
}

/** Imports for those who watch them: an admin's own page, the command line, the dashboard. */
export interface Imports {
  /** Where an import stands, or null when there is none of that id. Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED. */
  get(id: string): Promise<ImportStatus | null>;
  /** The newest imports first. Throws as `get`. */
  list(options?: { /** @default 100 */ readonly limit?: number }): Promise<readonly ImportStatus[]>;
  /**
   * Every row of an import in the order of its lines, streamed: memory stays flat. It is a picture of one moment.
   * Throws at the first row as `get`; IMPORT_UNKNOWN.
   */
  report(id: string): AsyncIterable<ImportReportRow>;
  /**
   * Tells a running import to publish no more; rows that are with the broker are served. It can be begun again.
   * After: true, its runner stops at the next chunk; false: there is none that runs, stopped or failed. Throws as `get`.
   */
  cancel(id: string): Promise<boolean>;
  /** Removes an import that does not run, and its rows; messages of it that are still with the broker are served, unaccounted. */
  forget(id: string): Promise<boolean>;
}

/** Imports for who runs one. */
export interface ImportRuns {
  /**
   * Creates an import, or goes on with one. A run that is still under way elsewhere is fenced off: it ends at its next chunk.
   * After: this run is the newest. Died in between: the import stands, and can be begun again.
   * Throws IMPORT_MISMATCH: the import of that id has another source; DATABASE_UNREACHABLE, SCHEMA_OUTDATED, CONFIG_INVALID.
   */
  begin(start: ImportStart): Promise<ImportRun>;
  /**
   * Records rows that are about to be published, and that `position` rows of the source are with the broker or rejected by now.
   * After: each row's outcome finds it. Calling again with the same changes nothing.
   * Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED.
   */
  record(chunk: ImportChunk): Promise<ChunkAnswer>;
  /** Ends this run. `false`: it is not the newest. Throws as `record`. */
  end(end: ImportEnd): Promise<boolean>;
}

export interface ImportStart {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly fingerprint: string | undefined;
  /** What whoever resumes it needs to know, as JSON holds it. Undefined keeps what an earlier run gave. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
}

export interface ImportRun {
  readonly run: bigint;
  /** Rows of the source that need not be read again. */
  readonly position: number;
  /** Rows of the source that are recorded: those behind `position` come again and are counted below already. */
  readonly rows: number;
  /** How many of all rows so far were rejected or duplicated. */
  readonly rejected: number;
  readonly duplicated: number;
  /** It was there before. */
  readonly resumed: boolean;
}

export interface ImportChunk {
  readonly id: string;
  readonly run: bigint;
  /** Rows of the source, from its start, that are with the broker or rejected and recorded as such. */
  readonly position: number;
  readonly rows: readonly ImportedRow[];
  readonly rejects: readonly ImportReject[];
}

export interface ImportedRow {
  readonly rowKey: string;
  /** Only where it is not the row key. */
  readonly key: string | null;
  readonly line: number;
}

/** A row that becomes no message. */
export interface ImportReject {
  readonly line: number;
  readonly key: string | null;
  readonly code: "ROW_INVALID" | "MESSAGE_REFUSED";
  readonly reason: string;
}

export type ChunkAnswer =
  /** Of each row, in order: to be published, on its way or settled already by an earlier run, or another line has its key. */
  | { readonly status: "recorded"; readonly rows: readonly ("publish" | "settled" | "duplicated")[] }
  /** Somebody cancelled the import. Nothing was recorded. */
  | { readonly status: "cancelled" }
  /** A newer run is under way. Nothing was recorded. */
  | { readonly status: "superseded" };

export interface ImportEnd {
  readonly id: string;
  readonly run: bigint;
  readonly position: number;
  readonly status: "published" | "stopped" | "failed";
  readonly reason: string | null;
  /** Rows that were recorded as pending and that the broker would not take. */
  readonly rejects?: readonly ImportReject[];
}

/** Imports for who serves their messages. */
export interface ImportOutcomes {
  /**
   * Records what became of rows, many at once. A row that is claimed or replayed stays so.
   * After: durable, and the broker may be told. Rows of unknown imports are passed over. Calling again changes nothing.
   * Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED, CONFIG_INVALID.
   */
  settle(outcomes: readonly RowOutcome[]): Promise<void>;
}

export interface RowOutcome extends ImportRowRef {
  readonly state: Exclude<ImportRowState, "pending">;
  readonly pool: string;
  readonly resourceId: string | null;
  /** At most 100 characters. */
  readonly code: string | null;
  /** At most 1,000 characters, storable: no NUL, no half character. */
  readonly reason: string | null;
}
