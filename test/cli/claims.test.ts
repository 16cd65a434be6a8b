import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ClaimRef } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { type LineOptions, runLine } from "./run-line.ts";

const POOL: PoolDefinition = {
  table: "voucher_item",
  ownerColumn: "user_id",
  set: { status: "given" },
  where: { status: "free" },
};
const RELEASE = ["claims", "release", "voucher_item", "4711", "--owner-column", "user_id"];

let database: LedgerDatabase;
beforeAll(async () => {
  database = await ledgerDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.sql.query(`
    drop table if exists voucher_item;
    truncate exclaim.claims, exclaim.released_tokens;
    create table voucher_item (id bigint primary key, user_id bigint, campaign_id bigint default 1, status text default 'free');
    insert into voucher_item (id) select generate_series(1, 3)`);
});

describe("exclaim claims list and show", () => {
  it("list claims by pool, state and claimant, as a table and as JSON", async () => {
    await held("4711");
    await completed("4712");

    const table = await line(["claims", "list", "--pool", "voucher_item"]);
    const json = await line(["claims", "list", "--status", "completed", "--json"]);
    const none = await line(["claims", "list", "--pool", "other"]);

    expect(table.stdout).toMatch(/^POOL +SCOPE +CLAIMANT +ROW +STATUS +TOKEN/);
    expect(table.stdout).toMatch(/public\.voucher_item +- +4711 +\d +held +1 +1 +\d+\.\d s/);
    expect(JSON.parse(json.stdout)).toMatchObject({ claimant: "4712", status: "completed", token: "1", scope: {}, leaseMs: 0 });
    expect(none).toMatchObject({ code: 0, stdout: expect.stringMatching(/^POOL[^\n]*\n$/) });
  });

  it("keep a claimant's text from steering the terminal", async () => {
    await database.sql.query("alter table voucher_item alter column user_id type text");
    await held("a\u001b[2J\nb");

    const { stdout } = await line(["claims", "list"]);

    expect(stdout).toContain("a\\u001b[2J\\u000ab");
  });

  it("show what a claimant has, without what its handler returned, and exit with 1 when it has nothing", async () => {
    await completed("4712", '{"code":"SECRET-VOUCHER"}');

    const found = await line(["claims", "show", "public.voucher_item", "4712", "--scope", "{}"]);
    const json = await line(["claims", "show", "voucher_item", "4712", "--json"]);
    const none = await line(["claims", "show", "voucher_item", "4799"]);

    expect(found.code).toBe(0);
    expect(found.stdout).toMatch(/status +completed\n/);
    expect(found.stdout + json.stdout).not.toContain("SECRET-VOUCHER");
    expect(none).toMatchObject({ code: 1, stdout: "", stderr: "exclaim: 4799 has no claim in voucher_item\n" });
  });
});

describe("exclaim claims release", () => {
  it("gives a failed claim's row back, and puts back what the claim had set", async () => {
    await failed("4711");

    const released = await line([...RELEASE, "--yes"]);
    const again = await line([...RELEASE, "--yes"]);

    expect(released).toMatchObject({ code: 0, stdout: expect.stringMatching(/^4711 in voucher_item: released row \d\n$/) });
    expect(again.code).toBe(0);
    expect(await free()).toEqual(["1", "2", "3"]);
    expect(await statuses()).toEqual(["released"]);
  });

  // Planted: no look at the lease, and none at the state.
  it("S4 leaves a claim under a live lease alone unless it is forced, and fences its handler off then", async () => {
    const claim = await held("4711");

    const refused = await line([...RELEASE, "--yes"]);
    const forced = await line([...RELEASE, "--yes", "--force"]);
    const [answer] = await database.ledger.ledger.complete([{ claim, result: undefined }]);

    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("its handler is at work") });
    expect(forced.code).toBe(0);
    expect(answer).toBe("lost");
    expect(await free()).toEqual(["1", "2", "3"]);
  });

  it("S1 leaves a completed claim alone unless it is forced: its row would be given out twice", async () => {
    await completed("4711");

    const refused = await line([...RELEASE, "--yes", "--json"]);
    const before = await free();
    const forced = await line([...RELEASE, "--yes", "--force"]);

    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({ released: false, reason: expect.stringContaining("given out twice") });
    expect(before).toHaveLength(2);
    expect(forced.code).toBe(0);
    expect(await free()).toEqual(["1", "2", "3"]);
    expect(await statuses()).toEqual(["released"]);
  });

  it("asks for the claimant on a terminal, and does nothing when another is typed", async () => {
    await failed("4711");

    const other = await line(RELEASE, { typed: "4712\n" });
    const nothing = await line(RELEASE, { typed: "" });
    const between = await statuses();
    const same = await line(RELEASE, { typed: "4711\n" });

    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining("not confirmed") });
    expect(nothing.code).toBe(1);
    expect(between).toEqual(["failed"]);
    expect(same.code).toBe(0);
    expect(await statuses()).toEqual(["released"]);
  });

  it.each([
    ["without --yes where nobody can be asked", RELEASE, 2, "--yes"],
    ["without an owner column", ["claims", "release", "voucher_item", "4711", "--yes"], 2, "--owner-column"],
    ["with a scope that is no JSON", [...RELEASE, "--yes", "--scope", "7"], 2, "--scope"],
    [
      "with another column",
      ["claims", "release", "voucher_item", "4711", "--yes", "--owner-column", "campaign_id"],
      1,
      "campaign_id",
    ],
    [
      "with a column that is not there",
      ["claims", "release", "voucher_item", "4711", "--yes", "--owner-column", "nope"],
      2,
      "nope",
    ],
    [
      "of somebody who has none",
      ["claims", "release", "voucher_item", "1", "--yes", "--owner-column", "user_id"],
      1,
      "no such claim",
    ],
  ])("does nothing %s", async (_how, args, code, told) => {
    await failed("4711");

    const result = await line(args);

    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(told) });
    expect(await statuses()).toEqual(["failed"]);
  });

  it("wants to know which scope, where a claimant has claims in two", async () => {
    await database.sql.query("update voucher_item set campaign_id = id");
    for (const campaign of [1, 2]) {
      const [claim] = await database.ledger.claims(POOL, ["4711"], { scope: { campaign_id: campaign } });
      if (claim !== undefined) await database.ledger.ledger.fail([claim]);
    }

    const unsure = await line([...RELEASE, "--yes"]);
    const sure = await line([...RELEASE, "--yes", "--scope", '{"campaign_id": 2}']);

    expect(unsure).toMatchObject({ code: 2, stderr: expect.stringContaining("--scope") });
    expect(sure.code).toBe(0);
    expect((await statuses()).sort()).toEqual(["failed", "released"]);
  });

  it("serves a pool without an owner column", async () => {
    const pool: PoolDefinition = { table: "voucher_item", set: { status: "given" }, where: { status: "free" } };
    const [claim] = await database.ledger.claims(pool, ["4711"]);
    if (claim !== undefined) await database.ledger.ledger.fail([claim]);

    const { code } = await line(["claims", "release", "voucher_item", "4711", "--no-owner-column", "--yes"]);

    expect(code).toBe(0);
    expect(await free()).toEqual(["1", "2", "3"]);
  });
});

function line(args: readonly string[], options: LineOptions = {}) {
  return runLine(args, { env: { DATABASE_URL: database.url }, ...options });
}

async function held(claimant: string): Promise<ClaimRef> {
  return (await database.ledger.claimed({ ...POOL }, claimant)).claim;
}

async function failed(claimant: string): Promise<void> {
  await database.ledger.ledger.fail([await held(claimant)]);
}

async function completed(claimant: string, result?: string): Promise<void> {
  await database.ledger.ledger.complete([{ claim: await held(claimant), result }]);
}

function free(): Promise<unknown[]> {
  return database.column("select id::text from voucher_item where user_id is null and status = 'free' order by id");
}

function statuses(): Promise<unknown[]> {
  return database.column("select status from exclaim.claims");
}
