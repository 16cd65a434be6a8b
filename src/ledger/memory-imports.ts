import { ExclaimError } from "../errors.ts";
import { isImportId, rowKeyOf } from "./import-message-id.ts";
import type {
  ChunkAnswer,
  ImportOutcomes,
  ImportReject,
  ImportReportRow,
  ImportRuns,
  ImportStart,
  ImportState,
  ImportStatus,
  Imports,
  RowOutcome,
} from "./imports.ts";

const DEFAULT_LIMIT = 100;

export interface MemoryImportsOptions {
  /** The time of day, for people to read. */
  now(): Date;
}

/** The three contracts of imports in one. */
export interface MemoryImports extends Imports, ImportRuns, ImportOutcomes {}

/**
 * The imports for tests, simulations and programs of one process: the rules of PostgreSQL's, without a database.
 * After: a call takes effect in one synchronous step and answers on a microtask.
 */
export function memoryImports({ now }: MemoryImportsOptions): MemoryImports {
  /** The newest last. */
  const records = new Map<string, ImportRecord>();

  return {
    async get(id) {
      const record = records.get(checked(id));
      return record === undefined ? null : statusOf(record);
    },

    async list({ limit = DEFAULT_LIMIT } = {}) {
      if (!Number.isSafeInteger(limit) || limit < 1) {
        throw new ExclaimError("CONFIG_INVALID", "imports.list: `limit` is a whole number, 1 or more");
      }
      return [...records.values()].toReversed().slice(0, limit).map(statusOf);
    },

    async *report(id) {
      const record = records.get(checked(id));
      if (record === undefined) throw new ExclaimError("IMPORT_UNKNOWN", `there is no import ${JSON.stringify(id)}`);
      yield* reportOf(record);
    },

    async cancel(id) {
      const record = records.get(checked(id));
      if (record === undefined || !["running", "stopped", "failed"].includes(record.status)) return false;
      Object.assign(record, { status: "cancelled", updatedAt: now() });
      return true;
    },

    async forget(id) {
      const record = records.get(checked(id));
      return record !== undefined && record.status !== "running" && records.delete(id);
    },

    async begin(start) {
      checked(start.id);
      const known = records.get(start.id);
      const record = known ?? newRecord(start, now());
      records.set(start.id, record);
      beginAgain(record, start, now());
      const { run, position } = record;
      return { run, position, rows: countOf(record), ...rejectCounts(record), resumed: known !== undefined };
    },

    async record({ id, run, position, rows, rejects }) {
      const record = records.get(id);
      if (record?.run !== run) return { status: "superseded" };
      if (record.status !== "running") return { status: record.status === "cancelled" ? "cancelled" : "superseded" };
      const answers: ChunkAnswerOf[] = rows.map((row) => addRow(record, row));
      reject(record, rejects);
      record.position = Math.max(record.position, position);
      record.updatedAt = now();
      return { status: "recorded", rows: answers };
    },

    async end({ id, run, position, status, reason, rejects = [] }) {
      const record = records.get(id);
      if (record?.run !== run || (record.status !== "running" && record.status !== status)) return false;
      reject(record, rejects);
      record.position = Math.max(record.position, position);
      const publishedAt = status === "published" ? (record.publishedAt ?? now()) : undefined;
      Object.assign(record, { status, reason: reason ?? undefined, updatedAt: now(), publishedAt });
      return true;
    },

    async settle(outcomes) {
      for (const outcome of outcomes) {
        const row = records.get(outcome.importId)?.rows.get(outcome.rowKey);
        if (row !== undefined) settleRow(row, outcome, now());
      }
    },
  };
}

type ChunkAnswerOf = Extract<ChunkAnswer, { status: "recorded" }>["rows"][number];

interface ImportRecord extends Pick<ImportStatus, "id" | "createdAt"> {
  source: string;
  target: string;
  fingerprint: string | undefined;
  settings: ImportStatus["settings"];
  status: Exclude<ImportState, "finished">;
  run: bigint;
  position: number;
  reason: string | undefined;
  updatedAt: ImportStatus["updatedAt"];
  publishedAt: ImportStatus["publishedAt"];
  /** By row key. */
  readonly rows: Map<string, RowRecord>;
  /** By line. */
  readonly rejects: Map<number, RejectRecord>;
}

interface RowRecord extends Omit<Mutable<ImportReportRow>, "state"> {
  state: "pending" | RowOutcome["state"];
}

type RejectRecord = Omit<ImportReject, "code"> & { readonly code: ImportReject["code"] | "ROW_DUPLICATED" };

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

function newRecord({ id, source, target, fingerprint }: ImportStart, nowAt: ImportRecord["createdAt"]): ImportRecord {
  return {
    id,
    source,
    target,
    fingerprint,
    settings: undefined,
    status: "running",
    run: 0n,
    position: 0,
    reason: undefined,
    createdAt: nowAt,
    updatedAt: nowAt,
    publishedAt: undefined,
    rows: new Map(),
    rejects: new Map(),
  };
}

function beginAgain(record: ImportRecord, start: ImportStart, nowAt: ImportRecord["updatedAt"]): void {
  const { id, source, target, fingerprint = record.fingerprint, settings } = start;
  if (record.fingerprint !== undefined && record.fingerprint !== fingerprint) {
    throw new ExclaimError(
      "IMPORT_MISMATCH",
      `the import ${id} began with another source, or the file has changed since: give the new one an id of its own`,
    );
  }
  // What JSON holds of it, as it would come back from a database.
  if (settings !== undefined) record.settings = JSON.parse(JSON.stringify(settings));
  const run = record.run + 1n;
  const ended = { reason: undefined, publishedAt: undefined };
  Object.assign(record, { source, target, fingerprint, status: "running", run, updatedAt: nowAt, ...ended });
}

function addRow(record: ImportRecord, { rowKey, key, line }: RowKeyed): ChunkAnswerOf {
  const known = record.rows.get(rowKey);
  if (known === undefined) {
    record.rows.set(rowKey, { line, key: key ?? rowKey, state: "pending", ...NOT_SETTLED });
    // Rejected before, and to be published now.
    record.rejects.delete(line);
    return "publish";
  }
  if (known.line === line) return known.state === "pending" ? "publish" : "settled";
  const reason = `its key is that of line ${known.line}`;
  if (!record.rejects.has(line)) record.rejects.set(line, { line, key: key ?? rowKey, code: "ROW_DUPLICATED", reason });
  return "duplicated";
}

type RowKeyed = { readonly rowKey: string; readonly key: string | null; readonly line: number };

const NOT_SETTLED = { pool: undefined, resourceId: undefined, code: undefined, reason: undefined, settledAt: undefined };

/** A row that is pending is moved; one that has come to an end stays what it is. */
function reject(record: ImportRecord, rejects: readonly ImportReject[]): void {
  for (const given of rejects) {
    const rowKey = given.key === null ? undefined : rowKeyOf(given.key);
    const row = rowKey === undefined ? undefined : record.rows.get(rowKey);
    if (rowKey !== undefined && row?.line === given.line) {
      if (row.state !== "pending") continue;
      record.rows.delete(rowKey);
    }
    if (!record.rejects.has(given.line)) record.rejects.set(given.line, given);
  }
}

function settleRow(row: RowRecord, outcome: RowOutcome, settledAt: ImportReportRow["settledAt"]): void {
  if (row.state === "claimed" || row.state === "replayed") return;
  const { state, pool, resourceId, code, reason } = outcome;
  const became = { state, pool, resourceId: resourceId ?? undefined, code: code ?? undefined, reason: reason ?? undefined };
  const isSame = Object.entries(became).every(([name, value]) => row[name as keyof RowRecord] === value);
  if (!isSame) Object.assign(row, became, { settledAt });
}

function countOf({ rows, rejects }: ImportRecord): number {
  return rows.size + rejects.size;
}

function rejectCounts({ rejects }: ImportRecord): { readonly rejected: number; readonly duplicated: number } {
  const duplicated = [...rejects.values()].filter(({ code }) => code === "ROW_DUPLICATED").length;
  return { rejected: rejects.size - duplicated, duplicated };
}

function statusOf(record: ImportRecord): ImportStatus {
  const { id, source, target, settings, status, reason, createdAt, updatedAt, publishedAt } = record;
  const states = [...record.rows.values()].map(({ state }) => state);
  const count = (state: RowRecord["state"]): number => states.filter((each) => each === state).length;
  const pending = count("pending");
  return {
    id,
    source,
    target,
    state: status === "published" && pending === 0 ? "finished" : status,
    settings,
    reason,
    createdAt,
    updatedAt,
    publishedAt,
    rows: countOf(record),
    pending,
    claimed: count("claimed"),
    replayed: count("replayed"),
    refused: count("refused"),
    deadLettered: count("dead-lettered"),
    ...rejectCounts(record),
  };
}

/** A picture of the moment in which the first row is asked for. */
function reportOf({ rows, rejects }: ImportRecord): readonly ImportReportRow[] {
  const rejected = [...rejects.values()].map(({ line, key, code, reason }) => {
    const state = code === "ROW_DUPLICATED" ? ("duplicated" as const) : ("rejected" as const);
    return { ...NOT_SETTLED, line, key: key ?? undefined, state, code, reason };
  });
  return [...[...rows.values()].map((row) => ({ ...row })), ...rejected].toSorted((a, b) => a.line - b.line);
}

function checked(id: string): string {
  if (isImportId(id)) return id;
  throw new ExclaimError(
    "CONFIG_INVALID",
    "an import's id is 1 to 64 letters, digits, `_`, `.` and `-`, with a `-` at neither end",
  );
}
