import { ExclaimError } from "../errors.ts";
import { beginImportSql, countImportRejectsSql } from "./begin-import.ts";
import { cancelImportSql } from "./cancel-import.ts";
import type { Query } from "./database.ts";
import { databaseError, databaseFault } from "./database-errors.ts";
import { endImportSql } from "./end-import.ts";
import { escapedText } from "./escaped-text.ts";
import { forgetImportSql } from "./forget-import.ts";
import { isImportId, rowKeyOf } from "./import-message-id.ts";
import { importReport } from "./import-report.ts";
import { importStatusOf, importStatusSql } from "./import-status.ts";
import type {
  ChunkAnswer,
  ImportChunk,
  ImportEnd,
  ImportOutcomes,
  ImportReject,
  ImportRun,
  ImportRuns,
  ImportStart,
  ImportStatus,
  Imports,
  RowOutcome,
} from "./imports.ts";
import { inHalves } from "./in-halves.ts";
import { DEFAULT_STATEMENT_TIMEOUT_MS, type PostgresLedgerOptions } from "./postgres.ts";
import { quoteIdentifier } from "./quote.ts";
import { recordImportChunkSql } from "./record-import-chunk.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { settleImportRowsSql } from "./settle-import-rows.ts";

const DEFAULT_LIMIT = 100;
const MAX_REASON_LENGTH = 1_000;
/** What reads or removes all rows of an import takes as long as it has rows: two million of them take seconds, and no lease waits. */
const SLOW_MS = 120_000;

/** The imports in PostgreSQL 13 or newer, beside the claims of the same schema. */
export function postgresImports(
  options: Pick<PostgresLedgerOptions, "database" | "clock" | "schema" | "statementTimeoutMs">,
): Imports & ImportRuns & ImportOutcomes {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);
  const texts = {
    begin: beginImportSql(schema),
    countRejects: countImportRejectsSql(schema),
    record: recordImportChunkSql(schema),
    end: endImportSql(schema),
    settle: settleImportRowsSql(schema),
    status: importStatusSql(schema),
    cancel: cancelImportSql(schema),
    forget: forgetImportSql(schema),
  };

  return { get, list, report, cancel, forget, begin, record, end, settle };

  async function get(id: string): Promise<ImportStatus | null> {
    checkId(id);
    const [row] = await askSlow("an import could not be read", texts.status, [[id], 1]);
    return row === undefined ? null : importStatusOf(row);
  }

  async function list({ limit = DEFAULT_LIMIT }: { readonly limit?: number } = {}): Promise<readonly ImportStatus[]> {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      throw new ExclaimError("CONFIG_INVALID", "imports.list: `limit` is a whole number, 1 or more");
    }
    return (await askSlow("imports could not be read", texts.status, [null, limit])).map(importStatusOf);
  }

  async function* report(id: string) {
    checkId(id);
    const text = `select from ${schema}.imports where id = $1`;
    const found = await ask("an import could not be read", { text, values: [id] });
    if (found.length === 0) throw new ExclaimError("IMPORT_UNKNOWN", `there is no import ${JSON.stringify(id)}`);
    try {
      yield* importReport(server, schema, id);
    } catch (error) {
      throw databaseError(error, "the report of an import broke off");
    }
  }

  async function cancel(id: string): Promise<boolean> {
    checkId(id);
    return (await ask("an import could not be cancelled", { text: texts.cancel, values: [id] })).length > 0;
  }

  async function forget(id: string): Promise<boolean> {
    checkId(id);
    return (await askSlow("an import could not be forgotten", texts.forget, [id])).length > 0;
  }

  async function begin(start: ImportStart): Promise<ImportRun> {
    const { id, source, target, fingerprint, settings } = start;
    checkId(id);
    const what = "an import could not be begun";
    const json = settings === undefined ? null : JSON.stringify(settings);
    const [begun] = await askInAnyEncoding(what, texts.begin, (write) => [
      id,
      write(source),
      write(target),
      write(fingerprint ?? null),
      write(json),
    ]);
    if (begun === undefined) {
      throw new ExclaimError(
        "IMPORT_MISMATCH",
        `the import ${id} began with another source, or the file has changed since: give the new one an id of its own`,
      );
    }
    const [counts] = await askSlow(what, texts.countRejects, [id]);
    const { run, position, rows } = begun as { readonly run: string; readonly position: number; readonly rows: number };
    const { rejected, duplicated } = counts as Pick<ImportRun, "rejected" | "duplicated">;
    return { run: BigInt(run), position, rows, rejected, duplicated, resumed: run !== "1" };
  }

  async function record(chunk: ImportChunk): Promise<ChunkAnswer> {
    const { id, run, position, rows, rejects } = chunk;
    const [found] = await askInAnyEncoding("rows of an import could not be recorded", texts.record, (write) => [
      id,
      run.toString(),
      position,
      ...rejectColumns(rejects, write),
      rows.map(({ rowKey }) => rowKey),
      rows.map(({ key }) => write(key)),
      rows.map(({ line }) => line),
    ]);
    const answer = found as RecordedChunk | undefined;
    if (answer === undefined || answer.run !== run.toString()) return { status: "superseded" };
    if (answer.status !== "running") return { status: answer.status === "cancelled" ? "cancelled" : "superseded" };
    const answers = answer.answers ?? [];
    return answers.every((each) => each !== "unseen") ? { status: "recorded", rows: answers } : record(chunk);
  }

  async function end({ id, run, position, status, reason, rejects = [] }: ImportEnd): Promise<boolean> {
    const ended = await askInAnyEncoding("an import could not be ended", texts.end, (write) => [
      id,
      run.toString(),
      position,
      ...rejectColumns(rejects, write),
      status,
      write(reason),
    ]);
    return ended.length > 0;
  }

  async function settle(outcomes: readonly RowOutcome[]): Promise<void> {
    await settleAll(outcomes);
  }

  async function settleAll(outcomes: readonly RowOutcome[]): Promise<readonly never[]> {
    const what = "what became of rows of an import could not be recorded";
    if (outcomes.length === 0) return [];
    try {
      await runTransient(server, { text: texts.settle, values: outcomeColumns(outcomes, asItIs) });
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, what);
      if (outcomes.length > 1) return inHalves(outcomes, settleAll);
      await ask(what, { text: texts.settle, values: outcomeColumns(outcomes, inAscii) });
    }
    return [];
  }

  /** A database that is not UTF8 lacks characters. A key or a reason with one of them would otherwise end the import. */
  async function askInAnyEncoding(
    what: string,
    text: string,
    valuesOf: (write: Write) => unknown[],
  ): Promise<readonly unknown[]> {
    try {
      return (await runTransient(server, { text, values: valuesOf(asItIs) })).rows;
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, what);
      return ask(what, { text, values: valuesOf(inAscii) });
    }
  }

  function askSlow(what: string, text: string, values: unknown[]): Promise<readonly unknown[]> {
    return ask(what, { text, values, query_timeout: SLOW_MS });
  }

  async function ask(what: string, query: Query): Promise<readonly unknown[]> {
    try {
      return (await runTransient(server, query)).rows;
    } catch (error) {
      throw databaseError(error, what);
    }
  }
}

/** How a text goes into a statement: as it is, or in characters that every encoding has. */
type Write = (text: string | null) => string | null;

const asItIs: Write = (text) => text;
const inAscii: Write = (text) => text && escapedText(text);

interface RecordedChunk {
  readonly run: string;
  readonly status: string;
  readonly answers: readonly ("publish" | "settled" | "duplicated" | "unseen")[] | null;
}

function rejectColumns(rejects: readonly ImportReject[], write: Write): unknown[] {
  return [
    rejects.map(({ line }) => line),
    rejects.map(({ key }) => write(key)),
    rejects.map(({ key }) => (key === null ? null : rowKeyOf(key))),
    rejects.map(({ code }) => code),
    rejects.map(({ reason }) => write(reason)?.slice(0, MAX_REASON_LENGTH)),
  ];
}

function outcomeColumns(outcomes: readonly RowOutcome[], write: Write): unknown[] {
  return [
    outcomes.map(({ importId }) => importId),
    outcomes.map(({ rowKey }) => rowKey),
    outcomes.map(({ state }) => state),
    outcomes.map(({ pool }) => write(pool)),
    outcomes.map(({ resourceId }) => write(resourceId)),
    outcomes.map(({ code }) => write(code)),
    outcomes.map(({ reason }) => write(reason)?.slice(0, MAX_REASON_LENGTH) ?? null),
  ];
}

function checkId(id: unknown): void {
  if (isImportId(id)) return;
  throw new ExclaimError(
    "CONFIG_INVALID",
    "an import's id is 1 to 64 letters, digits, `_`, `.` and `-`, with a `-` at neither end",
  );
}
