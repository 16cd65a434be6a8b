import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { runLine } from "./run-line.ts";

const POOL: PoolDefinition = { table: "voucher_item", ownerColumn: "user_id" };
const RELEASE = ["claims", "release", "voucher_item", "4711", "--yes"];
const CLAIMS = "select row_to_json(c)::text from exclaim.claims c";

let database: LedgerDatabase;
beforeAll(async () => {
  database = await ledgerDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.sql.query(`
    drop table if exists voucher_item;
    truncate exclaim.claims, exclaim.released_tokens;
    create table voucher_item (id bigint primary key, user_id bigint, created_by bigint);
    insert into voucher_item (id) select generate_series(1, 3)`);
});

describe("exclaim claims release --force", () => {
  // Planted: the claim is taken up again in a transaction of its own.
  it.each([
    ["raises an error", "raise exception 'closed for today'"],
    ["passes over the row", "return null"],
  ])("S1 leaves a completed claim its result when a trigger %s", async (_how, body) => {
    const { claim } = await database.ledger.claimed(POOL, "4711");
    await database.ledger.ledger.complete([{ claim, result: '{"code":"A-1"}' }]);
    await database.sql.query(`
      create or replace function keep_owner() returns trigger language plpgsql as $$ begin ${body}; end $$;
      create trigger keep_owner before update on voucher_item for each row when (new.user_id is null) execute function keep_owner()`);
    const before = await database.column(CLAIMS);

    const refused = await line([...RELEASE, "--owner-column", "user_id", "--force"]);
    const after = await database.column(CLAIMS);
    const replay = await database.ledger.claim(POOL, "4711");

    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("not released: ") });
    expect(after).toEqual(before);
    expect(replay).toMatchObject({ status: "replayed", result: '{"code":"A-1"}' });
  });
});

describe("exclaim claims release by another column than the owner's", () => {
  // Planted: any row of the table that has the claimant in that column will do.
  it("S4 changes nothing, also where that column names the claimant in another row", async () => {
    const { claim } = await database.ledger.claimed(POOL, "4711");
    await database.ledger.ledger.fail([claim]);
    await database.sql.query("update voucher_item set created_by = 4711 where user_id is null");
    const before = await database.column(CLAIMS);

    const refused = await line([...RELEASE, "--owner-column", "created_by"]);
    const after = await database.column(CLAIMS);
    const released = await line([...RELEASE, "--owner-column", "user_id", "--id-column", "id"]);

    expect(refused).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("created_by: is it the owner column?"),
    });
    expect(after).toEqual(before);
    expect(released.code).toBe(0);
    expect(await database.column("select id from voucher_item where user_id is not null")).toEqual([]);
  });
});

function line(args: readonly string[]) {
  return runLine(args, { env: { DATABASE_URL: database.url } });
}
