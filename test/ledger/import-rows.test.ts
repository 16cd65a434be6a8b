import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ImportChunk, ImportReportRow, ImportRun, RowOutcome } from "../../src/ledger/imports.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { recordImportChunkSql } from "../../src/ledger/record-import-chunk.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, thrownBy } from "./ledger-database.ts";

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

describe("recording rows", () => {
  it("F8 answers which rows are to be published, and again the same after a lost answer", async () => {
    const run = await begun();
    const chunk = chunkOf(run, ["a", "b", "c"]);

    const first = await imports.record(chunk);
    const again = await imports.record(chunk);

    expect(first).toEqual({ status: "recorded", rows: ["publish", "publish", "publish"] });
    expect(again).toEqual(first);
    expect(await imports.get(id)).toMatchObject({ rows: 3, pending: 3, state: "running" });
  });

  // Planted: a key told as duplicated whenever it is there, so that a resumed run published nothing of its first chunk.
  it("F8 publishes what is pending of an earlier run again, and neither what is settled nor a later line of the same key", async () => {
    await imports.record(chunkOf(await begun(), ["a", "b"]));
    await imports.settle([outcome("a", { state: "claimed", resourceId: "1" })]);
    const run = await begun();

    const answer = await imports.record({ ...chunkOf(run, ["a", "b", "c"]), rows: [row("a", 1), row("b", 2), row("b", 3)] });

    expect(run.resumed).toBe(true);
    expect(answer).toEqual({ status: "recorded", rows: ["settled", "publish", "duplicated"] });
    expect(await imports.get(id)).toMatchObject({ rows: 3, claimed: 1, pending: 1, duplicated: 1 });
  });

  it("F8 records two rows of one key in one chunk as one message and one duplicate", async () => {
    const run = await begun();

    const answer = await imports.record({ ...chunkOf(run, []), rows: [row("a", 1), row("a", 2)] });

    expect(answer).toEqual({ status: "recorded", rows: ["publish", "duplicated"] });
    expect(await lines()).toEqual([
      { line: 1, state: "pending", reason: undefined },
      { line: 2, state: "duplicated", reason: "its key is that of line 1" },
    ]);
  });

  // Planted: a refused row inserted as a reject and left among the rows: counted twice.
  it("F1 moves a row that the broker would not take to the rejected ones, once", async () => {
    const run = await begun();
    await imports.record(chunkOf(run, ["a", "b"]));
    const refused = { line: 2, key: "b", code: "MESSAGE_REFUSED", reason: "no queue" } as const;

    for (let time = 0; time < 2; time += 1) await imports.record({ ...chunkOf(run, []), rejects: [refused] });

    expect(await imports.get(id)).toMatchObject({ rows: 2, pending: 1, rejected: 1 });
    expect(await imports.end({ id, run: run.run, position: 2, status: "published", reason: null, rejects: [refused] })).toBe(
      true,
    );
    expect(await imports.get(id)).toMatchObject({ rows: 2, pending: 1, rejected: 1, state: "published" });
  });

  it("records nothing for a run that is not the newest, or whose import was cancelled", async () => {
    const older = await begun();
    const newer = await begun();

    const superseded = await imports.record(chunkOf(older, ["a"]));
    const cancelled = [await imports.cancel(id), await imports.cancel(id)];
    const after = await imports.record(chunkOf(newer, ["a"]));

    expect([superseded, after]).toEqual([{ status: "superseded" }, { status: "cancelled" }]);
    expect(cancelled).toEqual([true, false]);
    expect(await imports.end({ id, run: older.run, position: 0, status: "stopped", reason: null })).toBe(false);
    expect(await imports.get(id)).toMatchObject({ rows: 0, state: "cancelled" });
  });

  it("goes on only with the source it began with", async () => {
    await imports.begin({ id, source: "a.csv", target: "queue", fingerprint: "one" });

    const error = await thrownBy(imports.begin({ id, source: "b.csv", target: "queue", fingerprint: "two" }));
    const unchecked = await imports.begin({ id, source: "a.csv", target: "queue", fingerprint: undefined });

    expect(error).toMatchObject({ code: "IMPORT_MISMATCH" });
    expect(unchecked.resumed).toBe(true);
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
});

describe("settling rows", () => {
  it("S5 keeps the last word, but nothing undoes a claim", async () => {
    await imports.record(chunkOf(await begun(), ["a", "b", "c", "d"]));
    await imports.settle([
      outcome("a", { state: "refused", code: "REFUSED", reason: "empty" }),
      outcome("b", { state: "claimed", resourceId: "2" }),
      outcome("b", { state: "dead-lettered", code: "HANDLER_ERROR", reason: "late" }),
      outcome("c", { state: "replayed", resourceId: "3" }),
      outcome("nobody", { state: "claimed", resourceId: "9" }),
    ]);

    await imports.settle([
      outcome("a", { state: "claimed", resourceId: "1" }),
      outcome("c", { state: "refused", reason: "no" }),
    ]);

    expect(await imports.get(id)).toMatchObject({ pending: 1, claimed: 2, replayed: 1, refused: 0, deadLettered: 0, rows: 4 });
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

  it("is finished once it is published and no row is pending", async () => {
    const run = await begun();
    await imports.record(chunkOf(run, ["a"]));
    await imports.end({ id, run: run.run, position: 1, status: "published", reason: null });
    const published = await imports.get(id);

    await imports.settle([outcome("a", { state: "dead-lettered", code: "HANDLER_ERROR", reason: "boom" })]);

    expect([published?.state, (await imports.get(id))?.state]).toEqual(["published", "finished"]);
    expect(published?.publishedAt).toBeInstanceOf(Date);
  });
});

describe("the report", () => {
  it("streams every row in the order of the lines", async () => {
    await begun();
    await database.sql.query(
      "insert into exclaim.import_rows (import_id, row_key, line) select $1, 'k' || i, 20001 - i from generate_series(1, 20000) i",
      [id],
    );
    let expected = 0;

    for await (const { line } of imports.report(id)) {
      expected += 1;
      if (line !== expected) break;
    }

    expect(expected).toBe(20_000);
  });

  // Planted: the connection given back only after the last row.
  it("gives its connection back when its reader stops early", async () => {
    await imports.record(chunkOf(await begun(), ["a", "b"]));
    const pool = openConnections({ connectionString: database.url, max: 1 });
    const alone = postgresImports({ database: pool, clock: systemClock, schema: "exclaim" });

    for (let time = 0; time < 3; time += 1) {
      for await (const { line } of alone.report(id)) {
        expect(line).toBe(1);
        break;
      }
    }

    expect(await alone.get(id)).toMatchObject({ rows: 2 });
  });

  it("of an import that nobody knows is refused, as is an id that cannot be one", async () => {
    const unknown = await thrownBy(imports.report("nobody")[Symbol.asyncIterator]().next());
    const unusable = await thrownBy(imports.get("a b"));

    expect(unknown).toMatchObject({ code: "IMPORT_UNKNOWN" });
    expect(unusable).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("1 to 64 letters") });
  });

  it("is gone with an import that is forgotten, unless that runs", async () => {
    const run = await begun();
    await imports.record(chunkOf(run, ["a"]));

    const whileRunning = await imports.forget(id);
    await imports.end({ id, run: run.run, position: 1, status: "stopped", reason: "a signal" });
    const stopped = await imports.get(id);
    const afterwards = await imports.forget(id);

    expect([whileRunning, afterwards]).toEqual([false, true]);
    expect(stopped).toMatchObject({ state: "stopped", reason: "a signal" });
    expect(await imports.get(id)).toBeNull();
    expect(await database.column("select row_key from exclaim.import_rows where import_id = $1", [id])).toEqual([]);
  });
});

function begun(): Promise<ImportRun> {
  return imports.begin({ id, source: "employees.csv", target: "BullMQ queue voucher", fingerprint: undefined });
}

function row(rowKey: string, line: number) {
  return { rowKey, key: null, line };
}

function chunkOf({ run }: ImportRun, keys: readonly string[]): ImportChunk {
  return { id, run, position: 0, rowsAfter: keys.length, rows: keys.map((key, index) => row(key, index + 1)), rejects: [] };
}

function outcome(rowKey: string, rest: Pick<RowOutcome, "state"> & Partial<RowOutcome>): RowOutcome {
  return { importId: id, rowKey, pool: "voucher_item", resourceId: null, code: null, reason: null, ...rest };
}

async function lines(): Promise<Pick<ImportReportRow, "line" | "state" | "reason">[]> {
  const found = [];
  for await (const { line, state, reason } of imports.report(id)) found.push({ line, state, reason });
  return found;
}
