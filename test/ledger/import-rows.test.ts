import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ImportChunk, ImportReportRow, ImportRun, RowOutcome } from "../../src/ledger/imports.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { recordImportChunkSql } from "../../src/ledger/record-import-chunk.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections } from "./ledger-database.ts";

let database: LedgerDatabase;
let imports: ReturnType<typeof postgresImports>;
let id: string;
let tests = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
  imports = postgresImports({ database: database.sql, clock: systemClock, schema: "exclaim" });
});

afterAll(() => database.drop());

beforeEach(() => {
  tests += 1;
  id = `spring-${tests}`;
});

describe("the rows of an import in PostgreSQL", () => {
  it("F8 records two rows of one key in one chunk as one message and one duplicate", async () => {
    const run = await begun();

    const answer = await imports.record({ ...chunkOf(run, []), rows: [row("a", 1), row("a", 2)] });

    expect(answer).toEqual({ status: "recorded", rows: ["publish", "duplicated"] });
    expect(await lines()).toEqual([
      { line: 1, state: "pending", reason: undefined },
      { line: 2, state: "duplicated", reason: "its key is that of line 1" },
    ]);
  });

  // Planted: the look-up of known rows as `row_key = any ($4)`, for which the planner read all rows of the import: 4 ms more each 20,000 rows.
  it("reads no more pages when the import has grown, whatever the planner believes of the table", async () => {
    const run = await begun();
    const pagesOf = async (from: number): Promise<number> => {
      const keys = Array.from({ length: 50 }, (_, index) => `u-${from + index}`);
      const { rows } = chunkOf(run, keys);
      const { rows: plan } = await database.sql.query<{ "QUERY PLAN": { Plan: Record<string, number> }[] }>({
        text: `explain (analyze, buffers, format json) ${recordImportChunkSql("exclaim")}`,
        values: [
          id,
          String(run.run),
          0,
          ...[[], [], [], [], []],
          keys,
          rows.map(({ key }) => key),
          rows.map(({ line }) => line),
        ],
      });
      const top = plan[0]?.["QUERY PLAN"][0]?.Plan ?? {};
      return Number(top["Shared Hit Blocks"]) + Number(top["Shared Read Blocks"]);
    };
    const small = await pagesOf(1);
    await database.sql.query(
      "insert into exclaim.import_rows (import_id, row_key, line) select $1, 'x-' || i, 1000 + i from generate_series(1, 50000) i",
      [id],
    );

    const large = await pagesOf(101);

    expect(small).toBeGreaterThan(0);
    expect(large).toBeLessThan(small * 3);
  });

  // Planted: rows locked in the order of the batch: 40P01.
  it("waits in no ring when many batches name the same rows in different orders", async () => {
    const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
    await imports.record(chunkOf(await begun(), keys));
    const others = [1, 2, 3, 4].map(() =>
      postgresImports({
        database: openConnections({ connectionString: database.url, max: 2 }),
        clock: systemClock,
        schema: "exclaim",
      }),
    );
    const deadlocks = () => database.column("select deadlocks::int from pg_stat_database where datname = current_database()");
    const before = await deadlocks();

    await Promise.all(
      others.flatMap((other, turn) =>
        [0, 1, 2].map((time) => {
          const batch = keys.map((key) => outcome(key, { state: "refused", reason: `${turn} ${time}` }));
          return other.settle((turn + time) % 2 === 0 ? batch : batch.toReversed());
        }),
      ),
    );

    expect(await deadlocks()).toEqual(before);
    expect(await imports.get(id)).toMatchObject({ refused: 200, pending: 0 });
  });
});

function begun(): Promise<ImportRun> {
  return imports.begin({ id, source: "employees.csv", target: "BullMQ queue voucher", fingerprint: undefined });
}

function row(rowKey: string, line: number) {
  return { rowKey, key: null, line };
}

function chunkOf({ run }: ImportRun, keys: readonly string[]): ImportChunk {
  return { id, run, position: 0, rows: keys.map((key, index) => row(key, index + 1)), rejects: [] };
}

function outcome(rowKey: string, rest: Pick<RowOutcome, "state"> & Partial<RowOutcome>): RowOutcome {
  return { importId: id, rowKey, pool: "voucher_item", resourceId: null, code: null, reason: null, ...rest };
}

async function lines(): Promise<Pick<ImportReportRow, "line" | "state" | "reason">[]> {
  const found = [];
  for await (const { line, state, reason } of imports.report(id)) found.push({ line, state, reason });
  return found;
}
