import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed, refusalOf } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
  const [hasCitext] = await database.column("select count(*) > 0 from pg_available_extensions where name = 'citext'");
  await database.sql.query(hasCitext === true ? "create extension citext" : "create domain citext as text");
  await database.sql.query("create type tier as enum ('bronze', 'silver', 'gold')");
  await database.sql.query("create domain ticket_number as integer check (value between 1 and 1000)");
  await database.sql.query("create domain short_name as varchar(5) check (value <> 'root')");
});

afterAll(() => database.drop());

interface ColumnType {
  readonly type: string;
  /** Two values, the first as it is written and as the column writes it. */
  readonly one: readonly [given: string, kept: string];
  readonly two: string;
  /** Texts that the type does not take; none where it takes every text. */
  readonly unfit: readonly string[];
}

const UUID = "0b5fd1ce-5a63-4c8f-9e0f-8a3f6f0c7a11";

const types: readonly ColumnType[] = [
  { type: "bigint", one: ["007", "7"], two: "9223372036854775807", unfit: ["abc", "9223372036854775808", "1.5", ""] },
  { type: "integer", one: [" 7 ", "7"], two: "-7", unfit: ["2147483648", "7a"] },
  { type: "smallint", one: ["+7", "7"], two: "32767", unfit: ["32768"] },
  { type: "numeric", one: ["7", "7"], two: "12345678901234567890.125", unfit: ["seven"] },
  { type: "numeric(10,2)", one: ["7", "7.00"], two: "8.25", unfit: ["123456789.5"] },
  { type: "uuid", one: [UUID.toUpperCase(), UUID], two: UUID.replace("0b", "0c"), unfit: ["7", `${UUID}0`] },
  { type: "text", one: ["", ""], two: "o'brien \\ {7}", unfit: ["NUL \0 byte"] },
  { type: "varchar(5)", one: ["abcde", "abcde"], two: "äöüéñ", unfit: ["abcdef", "abcde "] },
  { type: "char(5)", one: ["abc", "abc"], two: "abcde", unfit: ["abcdef"] },
  { type: "citext", one: ["Bob", "Bob"], two: "Eve", unfit: [] },
  { type: "tier", one: ["gold", "gold"], two: "bronze", unfit: ["Gold", "platinum"] },
  { type: "ticket_number", one: ["0012", "12"], two: "1000", unfit: ["0", "1001"] },
  { type: "short_name", one: ["abcde", "abcde"], two: "x", unfit: ["abcdef", "root"] },
  { type: "boolean", one: ["yes", "true"], two: "f", unfit: ["maybe"] },
  { type: "date", one: ["2026-3-1", "2026-03-01"], two: "2026-03-02", unfit: ["2026-02-30"] },
  { type: "timestamptz", one: ["2026-03-01T12:00:00+01", "2026-03-01 11:00:00+00"], two: "infinity", unfit: ["noon"] },
  { type: "timestamp(0)", one: ["2026-03-01 12:00:00.6", "2026-03-01 12:00:01"], two: "-infinity", unfit: ["noon"] },
  { type: "bytea", one: ["\\x00ff", "\\x00ff"], two: "\\x", unfit: ["\\xz"] },
  { type: "double precision", one: ["0.1", "0.1"], two: "1e300", unfit: ["1e999"] },
  { type: "text[]", one: ["{a, b}", "{a,b}"], two: "{}", unfit: ["a"] },
];

/** As another process might have it, whose settings write nearly every type otherwise. */
const OTHER_SETTINGS = [
  "timezone=Asia/Kolkata",
  "datestyle=SQL,DMY",
  "bytea_output=escape",
  "extra_float_digits=0",
  "intervalstyle=sql_standard",
]
  .map((setting) => `-c ${setting}`)
  .join(" ");

describe("an owner column", () => {
  for (const { type, one, two, unfit } of types) {
    it(`of type ${type} takes what fits, as the column writes it, and gives it back`, async () => {
      const pool = await createTable("owner", type);
      const { ledger } = database.ledger;
      const elsewhere = database.openLedger({ options: OTHER_SETTINGS });

      const [first, second] = await database.ledger.claims(pool, [one[0], two]);
      const again = await elsewhere.claim(pool, one[1]);
      if (first === undefined || second === undefined) throw new Error("Two claims were asked for.");
      const failed = await elsewhere.ledger.fail([first]);
      const resumed = await elsewhere.claimed(pool, one[0]);
      const replayed = [await ledger.complete([{ claim: second, result: "1" }]), await elsewhere.claim(pool, two)];
      const released = await ledger.release(pool, [resumed.claim]);

      expect(first.claimant).toBe(one[1]);
      expect(again.status).toBe("contended");
      expect(failed).toEqual(["done"]);
      expect(resumed).toMatchObject({ resumed: true, attempt: 2, claim: { resourceId: first.resourceId, token: 2n } });
      expect(replayed).toEqual([["done"], { status: "replayed", result: "1" }]);
      expect(released).toEqual(["done"]);
      expect(await owners(pool)).toEqual([null, null, second.claimant]);
    });

    if (unfit.length > 0) {
      it(`of type ${type} refuses alone what does not fit: ${unfit.map((text) => JSON.stringify(text)).join(", ")}`, async () => {
        const pool = await createTable("owner", type);

        const answers = await database.ledger.claimMany(pool, [...unfit, two]);

        expect(answers.slice(0, -1).map(refusalOf)).toEqual(unfit.map(() => "CLAIMANT_INVALID"));
        expect(asClaimed(answers.at(-1)).row).toHaveProperty("owner");
        expect((await owners(pool)).filter((owner) => owner !== null)).toHaveLength(1);
      });
    }
  }
});

describe("an id column", () => {
  for (const { type, one, two } of types.filter((column) => !column.type.endsWith("[]"))) {
    it(`of type ${type} names rows to pick, resume and release`, async () => {
      const pool = await createTable("id", type);
      await database.sql.query(`delete from ${pool.table}`);
      await database.sql.query(`insert into ${pool.table} (id) values ($1), ($2)`, [one[0], two]);
      const elsewhere = database.openLedger({ options: OTHER_SETTINGS });

      const picked = await database.ledger.claimed(pool, "7", { pick: one[0] });
      const taken = await elsewhere.claim(pool, "8", { pick: one[1] });
      const next = await elsewhere.claimed(pool, "8");
      await database.ledger.ledger.fail([next.claim]);
      const resumed = await database.ledger.claimed(pool, "8");
      const released = await elsewhere.ledger.release(pool, [picked.claim, resumed.claim]);
      const again = await elsewhere.claimed(pool, "9", { pick: one[0] });

      expect(taken.status).toBe("taken");
      expect(resumed.claim).toMatchObject({ resourceId: next.claim.resourceId, token: 2n });
      expect(released).toEqual(["done", "done"]);
      expect(again.claim).toMatchObject({ resourceId: picked.claim.resourceId, token: 2n });
      expect(await owners(pool)).toEqual([null, "9"]);
    });
  }

  it("refuses a pick that does not fit it", async () => {
    const pool = await createTable("id", "uuid");

    const answers = await database.ledger.claimMany(pool, ["7"], { pick: "not-a-uuid" });

    expect(answers.map(refusalOf)).toEqual(["PICK_INVALID"]);
  });
});

describe("looking for the claim of a claimant or a scope that does not fit its column", () => {
  it("finds none", async () => {
    const pool = await createTable("owner", "bigint");
    await database.ledger.claimed(pool, "7");
    const { ledger } = database.ledger;

    const found = [await ledger.find(pool, {}, "seven"), await ledger.find(pool, { id: "first" }, "7")];

    expect(found).toEqual([null, null]);
  });
});

describe("a batch in which only some pick a row", () => {
  it("gives those the row they named and the others any, in the order asked", async () => {
    const pool = await createTable("owner", "text");
    const requests = [null, "3", null, "9"].map((pick, index) => ({
      scope: {},
      claimant: `user ${index}`,
      holder: `holder ${index}`,
      messageId: null,
      pick,
    }));

    const answers = await database.ledger.ledger.claim({ pool, ttlMs: 30_000, rerun: false, requests });

    expect(answers.map((answer) => answer.status)).toEqual(["claimed", "claimed", "claimed", "empty"]);
    expect(asClaimed(answers[1]).claim).toMatchObject({ claimant: "user 1", resourceId: "3" });
    expect([answers[0], answers[2]].map((answer) => asClaimed(answer).claim.resourceId).toSorted()).toEqual(["1", "2"]);
  });
});

let tables = 0;

/** Three free rows; the column in question has the type, the other one is bigint. */
async function createTable(column: "owner" | "id", type: string): Promise<PoolDefinition> {
  tables += 1;
  const table = `typed_${tables}`;
  const [id, owner] = column === "id" ? [type, "bigint"] : ["bigint", type];
  await database.sql.query(`create table ${table} (id ${id} primary key, owner ${owner})`);
  if (column === "owner") await database.sql.query(`insert into ${table} select generate_series(1, 3)`);
  return { table, ownerColumn: "owner" };
}

/** The owners there are, the free rows first. */
async function owners(pool: PoolDefinition): Promise<unknown[]> {
  return database.column(`select exclaim.stable_text(owner) from ${pool.table} order by owner is not null, 1`);
}
