import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import { isExclaimError } from "../../src/errors.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { databaseFingerprint } from "./database-fingerprint.ts";
import { hostileTexts } from "./hostile-texts.ts";

let database: LedgerDatabase;
let exclaim: Exclaim;

beforeAll(async () => {
  database = await ledgerDatabase();
  await database.sql.query(`
    create table canary (id text primary key, note text);
    insert into canary values ('canary', 'stands'), ('*', 'stands'), ('', 'stands');
    create table voucher_item (id text primary key, user_id text, status text default 'free', code text);`);
  exclaim = createExclaim({ database: database.sql });
});

afterAll(async () => {
  await exclaim.close();
  await database.drop();
});

beforeEach(async () => {
  await database.sql.query("delete from voucher_item; delete from exclaim.claims; insert into voucher_item (id) values ('1')");
  const before = await databaseFingerprint(database.sql);
  return async () => expect(await databaseFingerprint(database.sql)).toBe(before);
});

describe("hostile names in a pool definition", () => {
  const OPTIONS: readonly (readonly [option: string, define: (text: string) => PoolDefinition])[] = [
    ["the table", (table) => ({ table, ownerColumn: "user_id" })],
    ["the schema", (schema) => ({ table: `${schema}.voucher_item`, ownerColumn: "user_id" })],
    ["the owner column", (ownerColumn) => ({ table: "voucher_item", ownerColumn })],
    ["the id column", (idColumn) => ({ table: "voucher_item", ownerColumn: "user_id", idColumn })],
    ["a column of where", (name) => ({ table: "voucher_item", ownerColumn: "user_id", where: own(name) })],
    ["a column of set", (name) => ({ table: "voucher_item", ownerColumn: "user_id", set: own(name) })],
    ["the order", (orderBy) => ({ table: "voucher_item", ownerColumn: "user_id", orderBy })],
  ];
  it.each(OPTIONS)("are refused as %s", async (_option, define) => {
    const given = hostileTexts(10).filter((text) => text !== "canary" && text !== "public.canary");

    const codes = await Promise.all(
      given.map(async (text) => codeOf(await exclaim.pool(define(text)).claim({ claimant: "7" }, async () => "ran"))),
    );

    expect(new Set(codes)).toEqual(new Set(["POOL_INVALID"]));
    expect(await database.column("select user_id from voucher_item")).toEqual([null]);
  });

  it("are refused as a column of a scope", async () => {
    const vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });

    const codes = await Promise.all(
      hostileTexts(20).map(async (text) =>
        codeOf(await vouchers.claim({ claimant: "7", scope: own(text) }, async () => "ran")),
      ),
    );

    expect(codes.filter((code) => code !== "POOL_INVALID" && code !== "SCOPE_INVALID")).toEqual([]);
  });

  it("are refused as the ledger's schema, or quoted", async () => {
    const codes: string[] = [];
    for (const schema of hostileTexts(20)) {
      try {
        await using other = createExclaim({ database: database.sql, schema });
        codes.push(codeOf(await other.resource("order").claim({ key: "1" }, async () => "ran")));
      } catch (error) {
        codes.push(isExclaimError(error) ? error.code : String(error));
      }
    }

    expect(codes.filter((code) => code !== "CONFIG_INVALID" && code !== "SCHEMA_OUTDATED")).toEqual([]);
  });
});

describe("hostile values in a pool definition", () => {
  // Planted: half a character sent as U+FFFD, which is another text.
  it("are compared with and written as they are, or refused", async () => {
    const given = hostileTexts(10).filter((text) => text.length < 2_000);
    await database.sql.query("delete from voucher_item");
    const storable = given.filter((text) => !text.includes("\0") && text.isWellFormed());
    await database.sql.query(
      "insert into voucher_item (id, code) select n::text, t from unnest($1::text[]) with ordinality u (t, n)",
      [storable],
    );

    const outcomes = await Promise.all(
      given.map((text, index) => {
        const pool = exclaim.pool({
          table: "voucher_item",
          ownerColumn: "user_id",
          where: { code: text },
          set: { status: text },
        });
        return pool.claim({ claimant: `user-${index}` }, async (claim) => [claim.row.code, claim.row.status]);
      }),
    );

    const expected = given.map((text) => (storable.includes(text) ? [text, text] : "CONFIG_INVALID"));
    expect(outcomes.map((outcome) => (outcome.status === "completed" ? outcome.result : codeOf(outcome)))).toEqual(expected);
  });

  // Planted: the id read from the server's detail up to the first comma.
  it("tell whose row is inconsistent though the table's name holds what parts the names", async () => {
    await database.sql.query(
      `create table "a, b" (id text primary key, user_id text); insert into "a, b" values ('1, 2)', null)`,
    );
    const odd = exclaim.pool({ table: "a, b", ownerColumn: "user_id" });
    const found: unknown[] = [];
    const stop = exclaim.on("pool:inconsistent", (event) => found.push(event));
    await odd.claim({ claimant: "7" }, async () => "first");
    await database.sql.query(`update "a, b" set user_id = null`);

    const outcome = await odd.claim({ claimant: "8" }, async () => "second");

    stop();
    await database.sql.query(`drop table "a, b"`);
    expect(outcome.status).toBe("empty");
    expect(found).toEqual([{ pool: "public.a, b", resourceId: "1, 2)" }]);
  });
});

/** With a property of its own, whatever the name. */
function own(name: string): Record<string, string> {
  return Object.fromEntries([[name, "x"]]);
}

function codeOf(outcome: Outcome<unknown>): string {
  if (outcome.status !== "failed") return outcome.status;
  return isExclaimError(outcome.error) ? outcome.error.code : String(outcome.error);
}
