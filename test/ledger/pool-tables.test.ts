import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExclaimError } from "../../src/errors.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

describe("a pool definition", () => {
  it("is refused while its table does not exist, and taken once it does", async () => {
    const pool: PoolDefinition = { table: "made_later", ownerColumn: "user_id" };
    const missing = await refusalOfUse(pool);
    await run("create table %t (id int primary key default 1, user_id bigint)", pool.table);
    await run("insert into %t default values", pool.table);

    const answer = await database.ledger.claim(pool, "7");

    expect(missing.code).toBe("POOL_INVALID");
    expect(missing.message).toContain('"made_later" does not exist in the search path');
    expect(asClaimed(answer).claim.resourceId).toBe("1");
  });

  it("is refused while its schema does not exist", async () => {
    const error = await refusalOfUse({ table: "shop.voucher", ownerColumn: "user_id" });

    expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining('in schema "shop"') });
  });

  for (const kind of ["view", "materialized view"]) {
    it(`is refused for a ${kind}`, async () => {
      const table = `seen_${kind.replace(" ", "_")}`;
      await run(`create ${kind} %t as select 1 as id, null::bigint as user_id`, table);

      const error = await refusalOfUse({ table, ownerColumn: "user_id" });

      expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining("name the table behind it") });
    });
  }

  for (const table of ["", "a.b.c", 'un"quoted', '"unended', ".voucher", "voucher."]) {
    it(`is refused for the table name ${JSON.stringify(table)}`, async () => {
      const error = await refusalOfUse({ table, ownerColumn: "user_id" });

      expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining('"schema.table"') });
    });
  }
});

describe("a table that changes after its pool was checked", () => {
  it("is named, not the ledger, when it was dropped, and claimed from again once it is back", async () => {
    const pool: PoolDefinition = { table: "short_lived", ownerColumn: "user_id" };
    const create = "create table %t (id int primary key, user_id bigint); insert into %t select generate_series(1, 3)";
    await run(create, pool.table);
    const { claim } = await database.ledger.claimed(pool, "7");
    await run("drop table %t", pool.table);

    const claiming = await refusalOfUse(pool);
    const releasing = await thrownBy(database.ledger.ledger.release(pool, [claim]));

    expect(claiming).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining('"short_lived" does not exist') });
    expect(releasing.code).toBe("POOL_INVALID");
    await run(create, pool.table);
    expect((await database.ledger.claim(pool, "8")).status).toBe("claimed");
  });

  it("is named with the column when its owner column was renamed", async () => {
    const pool: PoolDefinition = { table: "renamed", ownerColumn: "user_id" };
    await run("create table %t (id int primary key default 1, user_id bigint)", pool.table);
    await database.ledger.claim(pool, "7");
    await run("alter table %t rename user_id to member_id", pool.table);

    const error = await refusalOfUse(pool);

    expect(error).toMatchObject({ code: "POOL_INVALID", details: { table: "renamed", column: "user_id" } });
  });
});

async function run(text: string, table: string): Promise<void> {
  await database.sql.query(text.replaceAll("%t", table));
}

function refusalOfUse(pool: PoolDefinition): Promise<ExclaimError> {
  return thrownBy(database.ledger.claim(pool, "7"));
}
