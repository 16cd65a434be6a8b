import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { settleImportRowsSql } from "../../src/ledger/settle-import-rows.ts";
import { chunkOf, ID, invalid, outcome, refused, row, rowsOf, START } from "../conformance/imports/fixture.ts";
import { importsConformance } from "../conformance/imports-conformance.ts";
import { type DatabaseRoles, databaseRoles } from "../security/database-roles.ts";
import { eventually } from "../support/eventually.ts";
import { holding } from "./dead-letters-database.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, thrownBy } from "./ledger-database.ts";

/** One database for all: a test has the schema to itself, and empties it before. */
let database: LedgerDatabase;
let roles: DatabaseRoles;
/** Who runs imports and who serves their messages, each with the rights that SECURITY.md grants, and no others. */
let producer: pg.Pool;
let app: pg.Pool;

beforeAll(async () => {
  database = await ledgerDatabase();
  roles = await databaseRoles(database.sql, database.url);
  await roles.grant({ schema: "exclaim" });
  [producer, app] = [roles.connect("producer"), roles.connect("app")];
});

afterAll(async () => {
  await Promise.all([producer.end(), app.end()]);
  await roles.drop();
  await database.drop();
});

importsConformance("PostgreSQL", async () => {
  await emptied();
  const { settle } = importsOver(app);
  return { imports: { ...importsOver(producer), settle }, close: async () => {} };
});

describe("a run that waits for another statement of its import", () => {
  // Planted: the rows that the statement could not see told as to be published: the second line of a key, too.
  it("F8 is answered by what that statement recorded", async () => {
    const sql = await emptied();
    const imports = importsOver(sql);
    const run = await imports.begin(START);
    const told = `insert into exclaim.import_rows (import_id, row_key, line) values ('${ID}', 'a', 1)`;
    const other = await holding(sql, `update exclaim.imports set rows = 1; ${told}`);

    const answer = imports.record(chunkOf(run, [row("a", 2), row("b", 3)]));
    await eventually(() => isWaiting(sql), { what: "the record that waits" });
    await other.commit();

    expect(await answer).toEqual({ status: "recorded", rows: ["duplicated", "publish"] });
    expect(await imports.get(ID)).toMatchObject({ rows: 3, pending: 2, duplicated: 1 });
  });

  // Planted: the rejected rows counted before the run has begun.
  it("F8 begins with the counts of what was recorded until then", async () => {
    const sql = await emptied();
    const imports = importsOver(sql);
    await imports.begin(START);
    const told = `insert into exclaim.import_rejects values ('${ID}', 1, null, 'ROW_INVALID', ''), ('${ID}', 2, 'a', 'ROW_DUPLICATED', '')`;
    const other = await holding(sql, `update exclaim.imports set rows = 2; ${told}`);

    const begun = imports.begin(START);
    await eventually(() => isWaiting(sql), { what: "the run that begins" });
    await other.commit();

    expect(await begun).toMatchObject({ run: 2n, rows: 2, rejected: 1, duplicated: 1 });
  });

  // Planted: a reject added although the row that it moves had come to an end: counted twice.
  it("F7 leaves a row that a worker settles meanwhile", async () => {
    const sql = await emptied();
    const imports = importsOver(sql);
    const run = await imports.begin(START);
    await imports.record(chunkOf(run, [row("a", 1)]));
    const worker = await holding(sql, "update exclaim.import_rows set state = 'claimed', settled_at = now()");

    const rejecting = imports.record(chunkOf(run, [], [refused("a", 1), invalid(2)]));
    await eventually(() => isWaiting(sql), { what: "the reject that waits" });
    await worker.commit();
    await rejecting;

    expect(await imports.get(ID)).toMatchObject({ rows: 2, claimed: 1, rejected: 1 });
  });
});

describe("imports of many rows", () => {
  // Planted: a connection that is never given back.
  it("F7 report 50,000 rows in the order of their lines, and give the connection back when their reader stops", async () => {
    const sql = await emptied();
    const alone = importsOver(openConnections({ connectionString: database.url, max: 1 }));
    await alone.begin(START);
    await fill(sql, 50_000);
    let expected = 0;

    for await (const { line } of alone.report(ID)) {
      expected += 1;
      if (line !== expected) break;
    }
    for await (const { line } of alone.report(ID)) if (line === 1_500) break;

    expect(expected).toBe(50_000);
    expect(await alone.get(ID)).toMatchObject({ pending: 50_000 });
  });

  // Planted: the lengths of the arrays shown to the planner, which then read every row for each batch.
  it("S5 settle a batch without reading the others", async () => {
    const sql = await emptied();
    await importsOver(sql).begin(START);
    await fill(sql, 50_000);
    const keys = Array.from({ length: 200 }, (_, index) => `k${index + 1}`);
    const all = (text: string | null) => keys.map(() => text);

    const { rows: plan } = await sql.query<{ "QUERY PLAN": string }>({
      text: `explain ${settleImportRowsSql("exclaim")}`,
      values: [all(ID), keys, all("refused"), all("voucher_item"), all(null), all("REFUSED"), all("none")],
    });

    const nodes = plan.map((line) => line["QUERY PLAN"]).filter((line) => line.includes(" on import_rows"));
    expect(nodes.length).toBeGreaterThan(1);
    expect(nodes.filter((line) => line.includes("Seq Scan"))).toEqual([]);
  });

  // Planted: the time limit of a statement for the sorting, and for the counting.
  it("F7 are sorted and counted however little time a statement has", async () => {
    const sql = await emptied();
    const imports = postgresImports({ database: sql, clock: systemClock, schema: "exclaim", statementTimeoutMs: 400 });
    const run = await imports.begin(START);
    await imports.record(chunkOf(run, [row("a", 1)]));
    await imports.cancel(ID);
    await sql.query(
      `create function slow(text) returns text language plpgsql volatile as 'begin perform pg_sleep(0.6); return $1; end'`,
    );
    await sql.query("alter table exclaim.import_rows rename to import_rows_told");
    await sql.query(`create view exclaim.import_rows as select import_id, row_key, line, key, slow(state) as state, pool, resource_id,
      code, reason, settled_at from exclaim.import_rows_told`);
    onTestFinished(async () => {
      await sql.query(
        "drop view exclaim.import_rows; alter table exclaim.import_rows_told rename to import_rows; drop function slow",
      );
    });

    const rows = await rowsOf(imports);
    const status = await imports.get(ID);

    expect(rows).toMatchObject([{ line: 1, state: "pending" }]);
    expect(status).toMatchObject({ pending: 1 });
  });
});

describe("imports whose texts the database cannot hold", () => {
  // Planted: no second try in escapes: an import that ends at its first such row, and a message that comes back for ever.
  it("F7 keep them in escapes where its encoding lacks their characters, and the others of a batch as they are", async () => {
    const latin = await latinDatabase();
    const imports = importsOver(latin);
    const run = await imports.begin({ ...START, source: "→.csv", settings: { key: "→" } });
    await imports.record(
      chunkOf(run, [{ rowKey: "~x", key: "a→", line: 1 }, row("b", 2)], [{ ...invalid(3), reason: "→".repeat(1_000) }]),
    );

    await imports.settle([
      outcome("~x", { state: "refused", code: "REFUSED", reason: "→" }),
      outcome("b", { state: "refused", code: "REFUSED", reason: "déjà vu" }),
    ]);

    expect(await imports.get(ID)).toMatchObject({ source: "\\u2192.csv", settings: { key: "→" }, rows: 3 });
    expect(await rowsOf(imports)).toMatchObject([
      { key: "a\\u2192", reason: "\\u2192" },
      { key: "b", reason: "déjà vu" },
      { reason: "\\u2192".repeat(167).slice(0, 1_000) },
    ]);
  });
});

describe("imports without their tables", () => {
  it("say what to do, whatever is asked", async () => {
    const imports = postgresImports({ database: database.sql, clock: systemClock, schema: "nowhere" });
    const run = { run: 1n, position: 0, rows: 0, rejected: 0, duplicated: 0, resumed: false };

    const errors = await Promise.all(
      [
        imports.begin(START),
        imports.record(chunkOf(run, [row("a", 1)])),
        imports.settle([outcome("a", { state: "claimed" })]),
        imports.get(ID),
        imports.list(),
        rowsOf(imports),
        imports.cancel(ID),
        imports.forget(ID),
      ].map((call) => thrownBy(call)),
    );

    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(["SCHEMA_OUTDATED"]));
  });
});

function importsOver(database: pg.Pool) {
  return postgresImports({ database, clock: systemClock, schema: "exclaim" });
}

async function emptied(): Promise<pg.Pool> {
  await database.sql.query("truncate exclaim.imports, exclaim.import_rows, exclaim.import_rejects");
  return database.sql;
}

/** Rows whose lines run the other way than they lie. */
async function fill(sql: pg.Pool, count: number): Promise<void> {
  await sql.query(
    `insert into exclaim.import_rows (import_id, row_key, line) select $1, 'k' || i, $2::int + 1 - i from generate_series(1, $2::int) i`,
    [ID, count],
  );
}

async function isWaiting(sql: pg.Pool): Promise<boolean> {
  const { rows } = await sql.query(`select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '%import%'`);
  return rows.length === 1;
}

/** A database in LATIN1, beside one of its server's own encoding. */
async function latinDatabase(): Promise<pg.Pool> {
  const name = `latin_imports_${process.pid}`;
  await database.sql.query(`create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
  onTestFinished(async () => void (await database.sql.query(`drop database ${name} with (force)`)));
  const url = new URL(database.url);
  url.pathname = `/${name}`;
  const connections = openConnections({ connectionString: url.href });
  await migrate(connections, systemClock, "exclaim");
  return connections;
}
