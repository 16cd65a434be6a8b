import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition, Scope } from "../../src/ledger/pool-definition.ts";
import { asClaimed, refusalOf } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

interface ScopeType {
  readonly type: string;
  /** What selects the rows whose column holds `value`, in all the ways a program may say it. */
  readonly same: readonly Scope[string][];
  readonly value: string;
  readonly other: string;
}

const types: readonly ScopeType[] = [
  { type: "integer", same: [42, "42", 42n, "042", " 42 "], value: "42", other: "43" },
  { type: "bigint", same: [9007199254740993n, "9007199254740993"], value: "9007199254740993", other: "9007199254740992" },
  { type: "text", same: ['o\'brien \\ "x" {}'], value: 'o\'brien \\ "x" {}', other: "o'brien" },
  { type: "varchar(20)", same: ["north"], value: "north", other: "north " },
  {
    type: "uuid",
    same: ["0b5fd1ce-5a63-4c8f-9e0f-8a3f6f0c7a11", "{0B5FD1CE5A634C8F9E0F8A3F6F0C7A11}"],
    value: "0b5fd1ce-5a63-4c8f-9e0f-8a3f6f0c7a11",
    other: "0b5fd1ce-5a63-4c8f-9e0f-8a3f6f0c7a12",
  },
  { type: "date", same: [new Date("2026-03-01T00:00:00Z"), "2026-03-01"], value: "2026-03-01", other: "2026-03-02" },
  {
    type: "timestamptz",
    same: [new Date("2026-03-01T11:30:00Z"), "2026-03-01T12:30:00+01:00", "2026-03-01 11:30:00Z"],
    value: "2026-03-01 11:30:00Z",
    other: "2026-03-01 12:30:00Z",
  },
  { type: "boolean", same: [true, "true", "t", "on"], value: "true", other: "false" },
  { type: "jsonb", same: [{ b: 1, a: [2] }, '{"a":[2],"b":1}'], value: '{"a":[2],"b":1}', other: '{"a":[2],"b":2}' },
  { type: "bytea", same: [Buffer.from([0, 255]), "\\x00ff"], value: "\\x00ff", other: "\\x00fe" },
];

const OTHER_SETTINGS = "-c timezone=Asia/Kolkata -c datestyle=SQL,DMY -c bytea_output=escape";

describe("a scope", () => {
  for (const { type, same, value, other } of types) {
    it(`S2 by a column of type ${type} is one scope in every spelling, and has its own rows and claimants`, async () => {
      const pool = await createTable(`part ${type}`);
      await database.sql.query(`insert into ${pool.table} (part) values ($1), ($1), ($1), ($2)`, [value, other]);
      const elsewhere = database.openLedger({ options: OTHER_SETTINGS });

      const [first] = await database.ledger.claims(pool, ["7"], { scope: { part: same[0] ?? value } });
      const again = [];
      for (const part of same) {
        again.push((await database.ledger.claim(pool, "7", { scope: { part } })).status);
        again.push((await elsewhere.claim(pool, "7", { scope: { part } })).status);
      }
      const second = await database.ledger.claimed(pool, "7", { scope: { part: other } });
      const third = await database.ledger.claim(pool, "8", { scope: { part: other } });

      expect(new Set(again)).toEqual(new Set(["contended"]));
      expect([first?.resourceId, second.claim.resourceId, third.status]).toEqual([
        expect.stringMatching(/[123]/),
        "4",
        "empty",
      ]);
      const scopes = await database.column("select distinct scope from exclaim.claims where pool = $1", [
        `public.${pool.table}`,
      ]);
      expect(scopes).toHaveLength(2);
    });
  }

  it("S2 of several columns is one scope in any order of its keys", async () => {
    const pool = await createTable("campaign_id bigint, part text, day date");
    await database.sql.query(
      `insert into ${pool.table} (campaign_id, part, day) values (42, 'a', '2026-03-01'), (42, 'a', '2026-03-01')`,
    );
    const scopes: Scope[] = [
      { campaign_id: 42, part: "a", day: "2026-03-01" },
      { day: new Date("2026-03-01T00:00:00Z"), part: "a", campaign_id: "42" },
      { part: "a", campaign_id: 42n, day: "2026-3-1" },
    ];

    const statuses = [];
    for (const scope of scopes) statuses.push((await database.ledger.claim(pool, "7", { scope })).status);

    expect(statuses).toEqual(["claimed", "contended", "contended"]);
  });

  it("S2 is another scope than one of more columns or none, and a row is in all of them but with one owner", async () => {
    const pool = await createTable("campaign_id bigint, part text");
    await database.sql.query(`insert into ${pool.table} (campaign_id, part) values (42, 'a'), (42, 'a')`);

    const answers = [
      await database.ledger.claim(pool, "7"),
      await database.ledger.claim(pool, "7", { scope: { campaign_id: 42 } }),
      await database.ledger.claim(pool, "7", { scope: { campaign_id: 42, part: "a" } }),
    ];

    expect(answers.map(({ status }) => status)).toEqual(["claimed", "claimed", "empty"]);
    expect(new Set(answers.slice(0, 2).map((answer) => asClaimed(answer).claim.resourceId)).size).toBe(2);
  });

  it("is refused with SCOPE_INVALID when its value does not fit the column, for each of the batch", async () => {
    const pool = await createTable("campaign_id bigint, part varchar(3)");

    const answers = [
      ...(await database.ledger.claimMany(pool, ["7", "8"], { scope: { campaign_id: "spring" } })),
      ...(await database.ledger.claimMany(pool, ["7"], { scope: { campaign_id: "9223372036854775808" } })),
    ];

    expect(answers.map(refusalOf)).toEqual(["SCOPE_INVALID", "SCOPE_INVALID", "SCOPE_INVALID"]);
  });

  it("is refused with POOL_INVALID when there is no such column", async () => {
    const pool = await createTable("campaign_id bigint");

    const error = await thrownBy(database.ledger.claim(pool, "7", { scope: { campaign: 42 } }));

    expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining('no column "campaign" (scope)') });
  });

  it("is refused with SCOPE_INVALID when the column's type knows no equality", async () => {
    const pool = await createTable("options json");

    const error = await thrownBy(database.ledger.claim(pool, "7", { scope: { options: { a: 1 } } }));

    expect(error).toMatchObject({ code: "SCOPE_INVALID", details: { column: "options" } });
  });

  it("cannot carry SQL in its values", async () => {
    const pool = await createTable("part text");
    const values = ["'; drop table exclaim.claims; --", "$1", "') or true --", "\\'; --", '"', "{}", "$$"];
    for (const part of values) await database.sql.query(`insert into ${pool.table} (part) values ($1)`, [part]);

    const rows = [];
    for (const part of values) rows.push((await database.ledger.claimed(pool, "7", { scope: { part } })).row.part);

    expect(rows).toEqual(values);
  });

  it("is found, completed and released like any", async () => {
    const pool = await createTable("day timestamptz");
    await database.sql.query(`insert into ${pool.table} (day) values ('2026-03-01 11:30:00Z')`);
    const scope = { day: new Date("2026-03-01T11:30:00Z") };
    const { ledger } = database.openLedger({ options: OTHER_SETTINGS });
    const { claim } = await database.ledger.claimed(pool, "7", { scope });

    const found = await ledger.find(pool, scope, "7");
    const ended = [await ledger.release(pool, [claim]), await ledger.find(pool, scope, "7")];

    expect(found).toMatchObject({ status: "held", claim });
    expect(ended).toMatchObject([["done"], { status: "released" }]);
  });
});

async function createTable(columns: string): Promise<PoolDefinition> {
  tables += 1;
  const table = `scoped_${tables}`;
  await database.sql.query(
    `create table ${table} (id int generated always as identity primary key, user_id bigint, ${columns})`,
  );
  return { table, ownerColumn: "user_id" };
}
