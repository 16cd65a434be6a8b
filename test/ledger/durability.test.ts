import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createExclaim, type ExclaimEvents } from "../../src/index.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
  await database.sql.query("create table voucher_item (id bigint primary key, user_id bigint)");
  await database.sql.query("insert into voucher_item select generate_series(1, 10)");
});

afterAll(() => database.drop());

/** What is told after some work over connections with `settings`. There is one connection, so that the look, asked first, has been taken. */
async function toldBy(settings: string): Promise<readonly ExclaimEvents["database:unsafe"][]> {
  const connections = openConnections({ connectionString: database.url, max: 1, options: settings });
  const told: ExclaimEvents["database:unsafe"][] = [];
  const exclaim = createExclaim({ database: connections });
  exclaim.on("database:unsafe", (found) => told.push(found));
  const vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });

  for (const claimant of ["1", "2"]) await vouchers.claim({ claimant }, async () => {});
  await exclaim.resource("order").claim({ key: "42" }, async () => {});
  await exclaim.close();

  return told.filter(({ setting }) => setting === "synchronous_commit");
}

// Planted: the condition on 'off' left out; the set of what was told left out. Each fails one of these.
describe("settings by which commits may be lost", () => {
  it("are told of once, whatever is used", async () => {
    expect(await toldBy("-c synchronous_commit=off")).toEqual([{ setting: "synchronous_commit", value: "off" }]);
  });

  it("are not told of where a commit is kept", async () => {
    expect(await toldBy("-c synchronous_commit=local")).toEqual([]);
  });
});
