import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ColumnValue, PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

describe("where by columns", () => {
  const conditions: [type: string, value: ColumnValue | null, holds: string, fails: (string | null)[]][] = [
    ["boolean", false, "false", ["true", null]],
    ["text", null, "null", ["null", ""]],
    ["text", "o'brien", "'o''brien'", ["o''brien", "obrien", null]],
    ["text", 'a\\\'b\\\\ %_ $1 -- "x"; {}', `E'a\\\\\\'b\\\\\\\\ %_ $1 -- "x"; {}'`, ["a'b\\ %_ $1", "a", null]],
    ["timestamptz", new Date("2026-03-01T11:30:00Z"), "'2026-03-01 11:30Z'", ["2026-03-01 11:31Z"]],
    ["date", new Date("2026-03-01T00:00:00Z"), "'2026-03-01'", ["2026-03-02"]],
    ["numeric(6,2)", 1.5, "1.50", ["1.51"]],
    ["bigint", 9007199254740993n, "9007199254740993", ["9007199254740992"]],
    ["bytea", Buffer.from("a'\\"), "'a''\\\\'::bytea", ["a"]],
    ["jsonb", { b: "o'x", a: [1] }, `'{"a":[1],"b":"o''x"}'`, ['{"a":[1]}']],
    ["text[]", ['a"b', "c,d", "\\", "", "null"], `array['a"b', 'c,d', '\\', '', 'null']`, ["{}", "{null}"]],
    ["integer[]", [1, 2], "array[1,2]", ["{1}"]],
  ];

  for (const [type, value, holds, fails] of conditions) {
    it(`holds for ${JSON.stringify(String(value))} of type ${type} and for nothing else`, async () => {
      const pool = await createTable(`part ${type}`, { where: { part: value } });
      for (const other of fails) await insert(pool, "part", other);
      await database.sql.query(`insert into ${pool.table} (part) values (${holds})`);

      const answers = [await database.ledger.claim(pool, "7"), await database.ledger.claim(pool, "8")];

      expect(asClaimed(answers[0]).claim.resourceId).toBe(String(fails.length + 1));
      expect(answers[1]).toEqual({ status: "empty" });
    });
  }
});

describe("where as SQL", () => {
  it("is asked of the rows as they are at each claim: what has expired since is not given", async () => {
    const pool = await createTable("valid_until timestamptz", { where: "valid_until > now()", orderBy: "id" });
    await insert(pool, "valid_until", "2020-01-01");
    await insert(pool, "valid_until", "2099-01-01");
    await insert(pool, "valid_until", "2099-01-01");
    await insert(pool, "valid_until", null);
    const first = await database.ledger.claimed(pool, "7");
    await database.sql.query(`update ${pool.table} set valid_until = now() - interval '1 ms' where id = 3`);

    const second = await database.ledger.claim(pool, "8");
    const picked = [
      await database.ledger.claim(pool, "8", { pick: "1" }),
      await database.ledger.claim(pool, "8", { pick: "4" }),
    ];

    expect(first.claim.resourceId).toBe("2");
    expect(second).toEqual({ status: "empty" });
    expect(picked).toEqual([{ status: "taken" }, { status: "taken" }]);
  });

  const spellings: [title: string, where: string][] = [
    ["ends in a comment", "part = 'a' -- only these"],
    ["has lines and a comment among them", "part = 'a' -- only these\n  and id > 0"],
    ["is joined by or", "part = 'a' or part = 'none'"],
    ["names the table", "%t.part = 'a'"],
    ["asks another table", "exists (select 1 from allowed a where a.part = %t.part)"],
    ["holds percent signs, quotes and braces", "part like '%a%' and part <> '''{}\"'"],
  ];
  for (const [title, where] of spellings) {
    it(`may be SQL that ${title}, with an owner column and without`, async () => {
      await database.sql.query(
        "create table if not exists allowed (part text); delete from allowed; insert into allowed values ('a')",
      );
      for (const owned of [true, false]) {
        const definition = owned ? {} : { set: { part: "used" } };
        const pool = await createTable("part text", definition, owned);
        const whole = { ...pool, where: where.replaceAll("%t", pool.table) };
        await insert(pool, "part", "b");
        await insert(pool, "part", "a");

        const answers = [await database.ledger.claim(whole, "7"), await database.ledger.claim(whole, "8")];

        expect(asClaimed(answers[0]).claim.resourceId).toBe("2");
        expect(answers[1]).toEqual({ status: "empty" });
      }
    });
  }
});

describe("set", () => {
  const values: [type: string, before: string, value: ColumnValue | null, during: string][] = [
    ["text", "'free'", "o'brien \\ x", "'o''brien \\ x'"],
    ["text", "null", "taken", "'taken'"],
    ["text", "'free'", null, "null"],
    ["boolean", "false", true, "true"],
    ["text[]", `array['a"b', null, 'c,d']`, ["x", "y z"], "array['x', 'y z']"],
    ["json", `'{"a": 1,  "b":[]}'`, { a: 2 }, `'{"a":2}'`],
    ["jsonb", `'{"a": "o''x"}'`, { a: [] }, `'{"a": []}'`],
    ["timestamptz", "'2026-03-01 11:30:00.123456+01'", new Date("2026-03-02T00:00:00Z"), "'2026-03-02 00:00Z'"],
    ["numeric(8,3)", "1.250", 2, "2.000"],
    ["double precision", "0.1", 0.3, "0.3"],
    ["bytea", "'\\x00ff'", Buffer.from([1]), "'\\x01'"],
    ["interval", "'1 mon -2 days'", "3 hours", "'3 hours'"],
    ["int4range", "'[1,5)'", "empty", "'empty'"],
    ["varchar(4)", "'free'", "used", "'used'"],
  ];

  for (const [type, before, value, during] of values) {
    it(`writes ${during} over ${before} of type ${type} and puts it back, also from a session with other settings`, async () => {
      const pool = await createTable(`part ${type}`, { set: { part: value } });
      await database.sql.query(`insert into ${pool.table} (part) values (${before})`);
      const elsewhere = database.openLedger({
        options: "-c timezone=Asia/Kolkata -c datestyle=SQL,DMY -c bytea_output=escape",
      });
      const isNow = async (sql: string) =>
        (await database.column(`select part::text is not distinct from (${sql}::${type})::text from ${pool.table}`))[0];

      const { claim } = await elsewhere.claimed(pool, "7");
      const written = await isNow(during);
      await database.ledger.ledger.fail([claim]);
      const resumed = await database.ledger.claimed(pool, "7");
      const stillWritten = await isNow(during);
      await database.ledger.ledger.release(pool, [resumed.claim]);

      expect([written, stillWritten, await isNow(before)]).toEqual([true, true, true]);
    });
  }

  it("is each definition's own, though table and conditions are the same", async () => {
    const pool = await createTable("part text, note text", { set: { part: "for mail" } });
    const other = { ...pool, set: { note: "for print" } };
    for (const part of ["a", "b"]) await insert(pool, "part", part);

    const rows = [(await database.ledger.claimed(pool, "7")).row, (await database.ledger.claimed(other, "8")).row];

    expect(rows.map(({ part, note }) => [part, note])).toEqual([
      ["for mail", null],
      [expect.stringMatching(/^[ab]$/), "for print"],
    ]);
  });

  it("may write what a generated column of where is computed from", async () => {
    const pool = await createTable(
      "part text default 'free', is_free boolean generated always as (part = 'free') stored",
      { where: { is_free: true }, set: { part: "taken" } },
      false,
    );
    await insert(pool, "part", "free");

    const answers = [await database.ledger.claim(pool, "7"), await database.ledger.claim(pool, "8")];

    expect(asClaimed(answers[0]).row).toMatchObject({ part: "taken", is_free: false });
    expect(answers[1]).toEqual({ status: "empty" });
  });
});

describe("orderBy", () => {
  it("goes by the column's own order, also by the id's", async () => {
    const pool = await createTable("part text", { orderBy: "id" });
    for (let count = 0; count < 12; count += 1) await insert(pool, "part", "a");

    const ids = (await database.ledger.claims(pool, ["1", "2", "3"])).map((claim) => claim.resourceId);

    expect(ids.toSorted()).toEqual(["1", "2", "3"]);
  });

  const orders: [orderBy: string, ids: string[]][] = [
    ["id desc", ["6", "5", "4"]],
    ["part, id", ["4", "1", "2"]],
    ["part DESC, id", ["3", "5", "6"]],
    [" part  asc ,id   desc ", ["4", "2", "1"]],
    ["user_id, part desc, id desc", ["6", "5", "3"]],
  ];
  for (const [orderBy, expected] of orders) {
    it(`takes ${JSON.stringify(orderBy)}`, async () => {
      const pool = await createTable("part text", { orderBy });
      for (const part of ["b", "b", "d", "a", "d", "d"]) await insert(pool, "part", part);

      const ids = [];
      for (const claimant of ["1", "2", "3"]) ids.push((await database.ledger.claimed(pool, claimant)).claim.resourceId);

      expect(ids).toEqual(expected);
    });
  }
});

/** A table with ids that count from 1. */
async function createTable(columns: string, definition: Partial<PoolDefinition> = {}, owned = true): Promise<PoolDefinition> {
  tables += 1;
  const table = `conditions_${tables}`;
  await database.sql.query(
    `create table ${table} (id int generated always as identity primary key, user_id bigint, ${columns})`,
  );
  return { table, ...(owned ? { ownerColumn: "user_id" } : {}), ...definition };
}

async function insert(pool: PoolDefinition, column: string, value: string | null): Promise<void> {
  await database.sql.query(`insert into ${pool.table} (${column}) values ($1)`, [value]);
}
