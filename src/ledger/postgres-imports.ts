import { ExclaimError } from "../errors.ts";
import { databaseError } from "./database-errors.ts";
import { isImportId, rowKeyOf } from "./import-message-id.ts";
import { importReport } from "./import-report.ts";
import { importStatusOf, importStatusSql } from "./import-status.ts";
import type {
  ChunkAnswer,
  ImportChunk,
  ImportOutcomes,
  ImportReject,
  ImportRun,
  ImportRuns,
  ImportStart,
  ImportStatus,
  Imports,
  RowOutcome,
} from "./imports.ts";
import { DEFAULT_STATEMENT_TIMEOUT_MS, type PostgresLedgerOptions } from "./postgres.ts";
import { quoteIdentifier } from "./quote.ts";
import { recordImportChunkSql } from "./record-import-chunk.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { settleImportRowsSql } from "./settle-import-rows.ts";

const DEFAULT_LIMIT = 100;

/** The imports in PostgreSQL 13 or newer, beside the claims of the same schema. */
export function postgresImports(
  options: Pick<PostgresLedgerOptions, "database" | "clock" | "schema" | "statementTimeoutMs">,
): Imports & ImportRuns & ImportOutcomes {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);
  const texts = { record: recordImportChunkSql(schema), settle: settleImportRowsSql(schema), status: importStatusSql(schema) };

  return { get, list, report, cancel, forget, begin, record, end, settle };

  async function get(id: string): Promise<ImportStatus | null> {
    checkId(id);
    const [row] = await ask("an import could not be read", texts.status, [[id], 1]);
    return row === undefined ? null : importStatusOf(row);
  }

  async function list({ limit = DEFAULT_LIMIT }: { readonly limit?: number } = {}): Promise<readonly ImportStatus[]> {
    return (await ask("imports could not be read", texts.status, [null, limit])).map(importStatusOf);
  }

  async function* report(id: string) {
    checkId(id);
    const found = await ask("an import could not be read", `select from ${schema}.imports where id = $1`, [id]);
    if (found.length === 0) throw new ExclaimError("IMPORT_UNKNOWN", `there is no import ${JSON.stringify(id)}`);
    try {
      yield* importReport(server, schema, id);
    } catch (error) {
      throw databaseError(error, "the report of an import broke off");
    }
  }

  async function cancel(id: string): Promise<boolean> {
    checkId(id);
    const text = `update ${schema}.imports set status = 'cancelled', updated_at = clock_timestamp()
      where id = $1 and status in ('running', 'stopped', 'failed') returning id`;
    return (await ask("an import could not be cancelled", text, [id])).length > 0;
  }

  async function forget(id: string): Promise<boolean> {
    checkId(id);
    const text = `
      with gone as (delete from ${schema}.imports where id = $1 and status <> 'running' returning id),
      rows as (delete from ${schema}.import_rows where import_id in (select id from gone)),
      rejects as (delete from ${schema}.import_rejects where import_id in (select id from gone))
      select id from gone`;
    return (await ask("an import could not be forgotten", text, [id])).length > 0;
  }

  async function begin({ id, source, target, fingerprint, settings }: ImportStart): Promise<ImportRun> {
    checkId(id);
    const text = `
      with begun as (
        insert into ${schema}.imports as i (id, source, target, fingerprint, settings, status, run)
        values ($1, $2, $3, $4, $5, 'running', 1)
        on conflict (id) do update set status = 'running', run = i.run + 1, source = excluded.source, target = excluded.target,
          fingerprint = coalesce(i.fingerprint, excluded.fingerprint), settings = coalesce(excluded.settings, i.settings),
          reason = null, published_at = null, updated_at = clock_timestamp()
        where coalesce(i.fingerprint = excluded.fingerprint, true)
        returning run::text, position::float8 as position, rows::float8 as rows
      )
      select b.*, (select count(*) filter (where code <> 'ROW_DUPLICATED')::float8 from ${schema}.import_rejects where import_id = $1)
        as rejected,
        (select count(*) filter (where code = 'ROW_DUPLICATED')::float8 from ${schema}.import_rejects where import_id = $1)
        as duplicated
      from begun b`;
    const values = [id, source, target, fingerprint ?? null, settings === undefined ? null : JSON.stringify(settings)];
    const [row] = await ask("an import could not be begun", text, values);
    if (row === undefined) {
      throw new ExclaimError(
        "IMPORT_MISMATCH",
        `the import ${id} began with another source, or the file has changed since: give the new one an id of its own`,
      );
    }
    const { run, position, rows, rejected, duplicated } = row as {
      readonly run: string;
      readonly position: number;
      readonly rows: number;
      readonly rejected: number;
      readonly duplicated: number;
    };
    return { run: BigInt(run), position, rows, rejected, duplicated, resumed: run !== "1" };
  }

  async function record(chunk: ImportChunk): Promise<ChunkAnswer> {
    const { id, run, position, rows, rejects } = chunk;
    const [found] = await ask("rows of an import could not be recorded", texts.record, [
      id,
      run.toString(),
      position,
      rows.map(({ rowKey }) => rowKey),
      rows.map(({ key }) => key),
      rows.map(({ line }) => line),
      ...rejectColumns(rejects),
    ]);
    const answer = found as
      | { readonly run: string; readonly status: string; readonly answers: RecordedRows | null }
      | undefined;
    if (answer === undefined || answer.run !== run.toString()) return { status: "superseded" };
    if (answer.status !== "running") return { status: answer.status === "cancelled" ? "cancelled" : "superseded" };
    return { status: "recorded", rows: answer.answers ?? [] };
  }

  async function end(ended: Parameters<ImportRuns["end"]>[0]): Promise<boolean> {
    const { id, run, position, status, reason, rejects = [] } = ended;
    if (rejects.length > 0) {
      const answer = await record({ id, run, position: 0, rowsAfter: 0, rows: [], rejects });
      if (answer.status !== "recorded") return false;
    }
    const text = `update ${schema}.imports set status = $3, position = greatest(position, $4::bigint), reason = $5,
        updated_at = clock_timestamp(), published_at = case when $3 = 'published' then clock_timestamp() end
      where id = $1 and run = $2::bigint and status in ('running', $3) returning id`;
    const values = [id, run.toString(), status, position, reason];
    return (await ask("an import could not be ended", text, values)).length > 0;
  }

  async function settle(outcomes: readonly RowOutcome[]): Promise<void> {
    if (outcomes.length === 0) return;
    await ask("what became of rows of an import could not be recorded", texts.settle, [
      outcomes.map(({ importId }) => importId),
      outcomes.map(({ rowKey }) => rowKey),
      outcomes.map(({ state }) => state),
      outcomes.map(({ pool }) => pool),
      outcomes.map(({ resourceId }) => resourceId),
      outcomes.map(({ code }) => code),
      outcomes.map(({ reason }) => reason),
    ]);
  }

  async function ask(what: string, text: string, values: unknown[]): Promise<readonly unknown[]> {
    try {
      return (await runTransient(server, { text, values })).rows;
    } catch (error) {
      throw databaseError(error, what);
    }
  }
}

type RecordedRows = Extract<ChunkAnswer, { status: "recorded" }>["rows"];

function rejectColumns(rejects: readonly ImportReject[]): unknown[] {
  return [
    rejects.map(({ line }) => line),
    rejects.map(({ key }) => key),
    rejects.map(({ key }) => (key === null ? null : rowKeyOf(key))),
    rejects.map(({ code }) => code),
    rejects.map(({ reason }) => reason),
  ];
}

function checkId(id: unknown): void {
  if (isImportId(id)) return;
  throw new ExclaimError(
    "CONFIG_INVALID",
    "an import's id is 1 to 64 letters, digits, `_`, `.` and `-`, with a `-` at neither end",
  );
}
