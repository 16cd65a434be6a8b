import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, testLedger } from "./ledger-database.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

async function oneConnection() {
  tables += 1;
  const table = `kept_${tables}`;
  await database.sql.query(`create table ${table} (id bigint primary key, user_id bigint)`);
  await database.sql.query(`insert into ${table} select generate_series(1, 30)`);
  const connections = openConnections({ connectionString: database.url, max: 1 });
  return { pool: { table, ownerColumn: "user_id" }, table, connections, ledger: testLedger(connections) };
}

describe("statements that a connection keeps by name", () => {
  // Planted: NAME_LOST empty. The second completion was refused.
  it("are asked without it where the names are gone, as behind a pooler, however often", async () => {
    const { pool, connections, ledger } = await oneConnection();
    const rows = [];

    for (let turn = 1; turn <= 8; turn += 1) {
      const { claim, row } = asClaimed(await ledger.claim(pool, String(turn)));
      rows.push(row.id);
      await connections.query("deallocate all");
      expect(await ledger.ledger.complete([{ claim, result: undefined }])).toEqual(["done"]);
    }

    expect(new Set(rows).size).toBe(8);
  });

  // Planted: PLAN_OUTLIVED left out: the claim was refused.
  it("give the table's columns as they are, also when it was altered since", async () => {
    const { pool, table, ledger } = await oneConnection();
    // The second asks by the statement for known claimants too.
    for (const claimant of ["1", "1"]) await ledger.claim(pool, claimant);
    await database.sql.query(`alter table ${table} add column code text default 'new'`);

    const { row } = asClaimed(await ledger.claim(pool, "3"));

    expect(row).toMatchObject({ user_id: "3", code: "new" });
  });
});
