import { afterAll, beforeAll, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;
const pool: PoolDefinition = { table: "clinging", ownerColumn: "user_id" };

beforeAll(async () => {
  database = await ledgerDatabase();
  await database.sql.query("create table clinging (id int primary key, user_id bigint); insert into clinging values (1), (2)");
  await database.sql.query(`create function cling() returns trigger language plpgsql as $$
    begin if new.user_id is null and old.user_id = 13 then return null; end if; return new; end $$`);
  await database.sql.query("create trigger cling before update on clinging for each row execute function cling()");
});

afterAll(() => database.drop());

// Planted: no check of what was written; this test failed, the ledger called a row free whose owner it was still.
it("S1 refuses the release of a row whose owner column cannot be written, alone, and leaves it with its claimant", async () => {
  const [barred, other] = await database.ledger.claims(pool, ["13", "7"]);
  if (barred === undefined || other === undefined) throw new Error("Two claims were asked for.");

  const answers = await database.ledger.ledger.release(pool, [barred, other]);

  expect(answers).toEqual([{ refused: expect.objectContaining({ code: "CLAIM_REFUSED" }) }, "done"]);
  expect(await database.column("select user_id::int from clinging order by id")).toEqual([13, null]);
  expect(await database.column("select status from exclaim.claims where claimant in ('13', '7') order by claimant")).toEqual([
    "held",
    "released",
  ]);
});
