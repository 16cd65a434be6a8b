import type { Connection } from "./database.ts";
import { isRecoverable } from "./database-errors.ts";
import type { ImportReportRow } from "./imports.ts";
import { giveBack, type Statements } from "./run-statement.ts";

/** Rows fetched at once: enough to be fast, few enough to be nothing in memory. */
const FETCH_SIZE = 1_000;
/** The first rows come once all are sorted: two million of them take seconds, and nobody waits but the reader. */
const SORT_MS = 120_000;

/**
 * Streams every row of an import in the order of its lines, through a cursor of the server: a picture of one moment.
 * After: the connection is back in its pool, also when the reader stops early.
 * Throws what the driver throws.
 */
export async function* importReport(server: Statements, schema: string, id: string): AsyncGenerator<ImportReportRow> {
  const connection = await server.connect();
  const ask = (text: string, timeoutMs = server.timeoutMs) =>
    connection.query({ text, query_timeout: timeoutMs }).then(({ rows }) => rows);
  let isSound = true;
  try {
    await ask("begin isolation level repeatable read read only");
    await declareCursor(connection, schema, id);
    for (let timeoutMs = SORT_MS; ; timeoutMs = server.timeoutMs) {
      const rows = await ask(`fetch ${FETCH_SIZE} from report`, timeoutMs);
      for (const row of rows) yield reportRowOf(row);
      if (rows.length < FETCH_SIZE) break;
    }
  } catch (error) {
    isSound = isRecoverable(error);
    throw error;
  } finally {
    if (isSound) isSound = await ask("rollback").then(() => true, isRecoverable);
    giveBack(connection, isSound);
  }
}

async function declareCursor(connection: Connection, schema: string, id: string): Promise<void> {
  await connection.query({
    text: `declare report no scroll cursor for
      select line::float8 as line, coalesce(key, row_key) as key, state, pool, resource_id, code, reason, settled_at
      from ${schema}.import_rows where import_id = $1
      union all
      select line::float8, key, case code when 'ROW_DUPLICATED' then 'duplicated' else 'rejected' end, null, null, code, reason, null
      from ${schema}.import_rejects where import_id = $1
      order by line`,
    values: [id],
    query_timeout: SORT_MS,
  });
}

interface ReportColumns {
  readonly line: number;
  readonly key: string | null;
  readonly state: ImportReportRow["state"];
  readonly pool: string | null;
  readonly resource_id: string | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly settled_at: Date | null;
}

function reportRowOf(given: unknown): ImportReportRow {
  const row = given as ReportColumns;
  return {
    line: row.line,
    key: row.key ?? undefined,
    state: row.state,
    pool: row.pool ?? undefined,
    resourceId: row.resource_id ?? undefined,
    code: row.code ?? undefined,
    reason: row.reason ?? undefined,
    settledAt: row.settled_at ?? undefined,
  };
}
