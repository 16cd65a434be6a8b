import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

/** Names that a statement put together carelessly would trip over, or be led astray by. */
const STRANGE_NAMES = [
  "Mixed Case",
  "with.dot",
  'with"quote',
  "with'apostrophe",
  "semi;colon -- comment",
  "'; drop table exclaim.claims; --",
  '"; drop table exclaim.claims; --',
  "$$dollar$$",
  "back\\slash",
  "/* open",
  "$1",
  "select",
  "Жетон 🎟️",
  "two  spaces ",
];

describe("the names of a pool", () => {
  for (const name of STRANGE_NAMES) {
    it(`may all be ${JSON.stringify(name)}: claimed, resumed, completed, released and found`, async () => {
      const pool = await createTable(name, name, name);
      const { ledger } = database.ledger;

      const first = await database.ledger.claimed(pool, "7", { scope: { [`${name} s`]: "north" } });
      await ledger.fail([first.claim]);
      const resumed = await database.ledger.claimed(pool, "7", { scope: { [`${name} s`]: "north" } });
      const found = await ledger.find(pool, { [`${name} s`]: "north" }, "7");
      const released = await ledger.release(pool, [resumed.claim]);
      const second = await database.ledger.claimed(pool, "8", { scope: { [`${name} s`]: "north" } });
      const completed = await ledger.complete([{ claim: second.claim, result: '"done"' }]);

      expect(first.row).toEqual({
        [`${name} i`]: 1,
        [`${name} o`]: "7",
        [`${name} s`]: "north",
        [`${name} t`]: "taken",
      });
      expect(resumed).toMatchObject({ resumed: true, claim: { token: 2n } });
      expect(found).toMatchObject({ status: "held", claim: { resourceId: "1", claimant: "7" } });
      expect([released, completed]).toEqual([["done"], ["done"]]);
      expect(second.claim).toMatchObject({ resourceId: "1", token: 3n });
    });
  }

  it("stay two pools when only the place of a dot tells them apart", async () => {
    const [first, second] = [await createTable("a.b", "c", "x"), await createTable("a", "b.c", "x")];

    const answers = [await database.ledger.claim(first, "7"), await database.ledger.claim(second, "7")];

    const claims = answers.map((answer) => asClaimed(answer).claim);
    expect(claims.map(({ resourceId, token }) => [resourceId, token])).toEqual([
      ["1", 1n],
      ["1", 1n],
    ]);
    expect(new Set(claims.map(({ pool }) => pool)).size).toBe(2);
  });

  it("are those of the catalog: an unquoted name of another case is no name of the table", async () => {
    await database.sql.query("create table Voucher_Item (id int primary key, user_id bigint)");

    const error = await thrownBy(database.ledger.claim({ table: "Voucher_Item", ownerColumn: "user_id" }, "7"));

    expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining('"Voucher_Item" does not exist') });
  });

  it("are refused when they are longer than PostgreSQL keeps", async () => {
    const error = await thrownBy(database.ledger.claim({ table: `"${"x".repeat(64)}"`, ownerColumn: "user_id" }, "7"));

    expect(error.code).toBe("POOL_INVALID");
  });
});

describe("columns called like the parts of a claim statement", () => {
  // Names of CTE columns and aliases, of a parameter, of the answer's own columns, and of what a JavaScript object has anyway.
  const columns = ["ord", "claimant", "n", "holder", "pick", "scope", "previous", "short", "leftover", "owner", "found"];
  const answered = ["status", "resource_id", "token", "attempt", "resumed", "result", "retry_after_ms", "message_id", "pool"];
  const inherited = ["__proto__", "constructor", "toString"];

  it("keep their values, are ordered by, scoped by, written and put back", async () => {
    const names = [...columns, ...answered, ...inherited];
    await database.sql.query(`create table collisions (
      id int primary key, user_id bigint, ${names.map((name) => `"${name}" text default 'own ${name}'`).join(", ")})`);
    await database.sql.query("insert into collisions (id, ord, n) values (1, 'b', 'b'), (2, 'a', 'a'), (3, 'a', 'c')");
    const pool: PoolDefinition = {
      table: "collisions",
      ownerColumn: "user_id",
      where: { claimant: "own claimant", token: "own token" },
      set: { previous: "written", status: "written" },
      orderBy: "ord, n desc",
    };

    const { row, claim } = await database.ledger.claimed(pool, "7", { scope: { scope: "own scope", pick: "own pick" } });
    await database.ledger.ledger.release(pool, [claim]);

    const expected = Object.fromEntries(names.map((name) => [name, `own ${name}`]));
    expect(Object.entries(row).toSorted()).toEqual(
      Object.entries({ ...expected, id: 3, user_id: "7", ord: "a", n: "c", previous: "written", status: "written" }).toSorted(),
    );
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
    const back = await database.sql.query("select user_id, previous, status from collisions where id = 3");
    expect(back.rows).toEqual([{ user_id: null, previous: "own previous", status: "own status" }]);
  });

  it("may be the owner and the id", async () => {
    await database.sql.query("create table swapped (claimant text primary key, id bigint)");
    await database.sql.query("insert into swapped (claimant) values ('one'), ('two')");
    const pool: PoolDefinition = { table: "swapped", ownerColumn: "id", orderBy: "claimant" };

    const answers = await database.ledger.claimMany(pool, ["7", "8", "9"]);

    expect(answers.slice(0, 2).map((answer) => asClaimed(answer).row)).toEqual([
      { claimant: "one", id: "7" },
      { claimant: "two", id: "8" },
    ]);
    expect(answers[2]).toEqual({ status: "empty" });
  });
});

describe("a table named without its schema", () => {
  it("is the one the connection's search path leads to", async () => {
    await database.sql.query("create schema shop");
    await database.sql.query("create table shop.ticket (id int primary key, user_id bigint)");
    await database.sql.query("insert into shop.ticket values (1)");
    const pool: PoolDefinition = { table: "ticket", ownerColumn: "user_id" };
    const { ledger } = database;
    const inShop = database.openLedger({ options: "-c search_path=shop" });

    const missing = await thrownBy(ledger.claim({ ...pool }, "7"));
    const { claim } = await inShop.claimed(pool, "7");
    const byFullName = await ledger.claim({ table: "shop.ticket", ownerColumn: "user_id" }, "7");

    expect(missing.code).toBe("POOL_INVALID");
    expect(claim.pool).toBe("shop.ticket");
    expect(byFullName.status).toBe("contended");
  });

  it("is claimed from when the search path is empty and the name is whole", async () => {
    const pool = await createTable("bare", "seat", "x");
    const without = database.openLedger({ options: "-c search_path=" });

    const { claim } = await without.claimed(pool, "7");
    const ended = await without.ledger.release(pool, [claim]);

    expect(claim.resourceId).toBe("1");
    expect(ended).toEqual(["done"]);
  });
});

/** A table of one free row in a schema, its columns named after `column`: i the id, o the owner, s a scope, t what is set. */
async function createTable(schema: string, table: string, column: string): Promise<PoolDefinition> {
  const [i, o, s, t] = ["i", "o", "s", "t"].map((end) => quoted(`${column} ${end}`));
  const name = `${quoted(schema)}.${quoted(table)}`;
  await database.sql.query(`create schema ${quoted(schema)}`);
  await database.sql.query(`create table ${name} (${i} int primary key, ${o} bigint, ${s} text, ${t} text)`);
  await database.sql.query(`insert into ${name} values (1, null, 'north', 'free')`);
  return {
    table: name,
    ownerColumn: `${column} o`,
    idColumn: `${column} i`,
    where: { [`${column} t`]: "free" },
    set: { [`${column} t`]: "taken" },
    orderBy: `${column} i desc`,
  };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
