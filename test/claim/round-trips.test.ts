import { createExclaim, type Exclaim, type Pool } from "exclaim";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LedgerDatabase, ledgerDatabase, openConnections, recording } from "../ledger/ledger-database.ts";

/** What a claim costs is counted, not timed: a regression shows on any machine. */

let database: LedgerDatabase;
let exclaim: Exclaim;
let vouchers: Pool<{ code: string }>;
/** The first words of each statement that the database was asked. */
let asked: () => string[];

beforeEach(async () => {
  database = await ledgerDatabase();
  await database.sql.query(`
    create table voucher_item (id bigint primary key, code text, campaign_id int, user_id bigint);
    create index on voucher_item (campaign_id, id) where user_id is null;
    create index on voucher_item (id) where user_id is null;
    insert into voucher_item select i, 'CODE-' || i, i % 50 from generate_series(1, 1000) i;
    analyze voucher_item`);
  const record = recording(openConnections({ connectionString: database.url }));
  exclaim = createExclaim({ database: record.database });
  vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
  await claimAll(["warm-up"].map(() => ({ claimant: "0" })));
  record.texts.length = 0;
  asked = () => record.texts.map(nameOf).filter((name) => name !== "plans dropped");
});

afterEach(async () => {
  await exclaim.close();
  await database.drop();
});

describe("what claims ask of the database", () => {
  it("is two statements for a lone claimant: the claim, and its completion", async () => {
    await claimAll([{ claimant: "1" }]);

    expect(asked()).toEqual(["new claims", "completions"]);
  });

  // Planted: DEFAULT_MAX_BATCH of 50: four statements.
  it("is two statements for 100 claimants at once", async () => {
    await claimAll(wishes(100));

    expect(asked()).toEqual(["new claims", "completions"]);
  });

  // Planted: a claim key with the scope's values: 100 statements and one.
  it("is two statements for 100 claimants of 50 scopes at once", async () => {
    await claimAll(wishes(100, (index) => ({ scope: { campaign_id: index % 50 } })));

    // A first search in a scope begins anywhere, the next behind the last id: both are one statement for all.
    expect(asked()).toEqual(["new claims", "completions"]);
  });

  it("is two statements for 100 redeliveries, and one once they are known to be many", async () => {
    await claimAll(wishes(100));
    const before = asked().length;

    await claimAll(wishes(100));
    const first = asked().slice(before);
    await claimAll(wishes(100));
    const second = asked().slice(before + first.length);

    expect(first).toEqual(["new claims", "any claims"]);
    expect(second).toEqual(["any claims"]);
  });

  it("is two statements where handlers fail and rows go back to the pool", async () => {
    await Promise.all(
      wishes(10).map((wish) => vouchers.claim({ ...wish, onFailure: "release" }, async () => Promise.reject(new Error("no")))),
    );

    expect(asked()).toEqual(["new claims", "releases"]);
  });
});

function wishes(count: number, more: (index: number) => object = () => ({})) {
  return Array.from({ length: count }, (_, index) => ({ claimant: String(1_000 + index), ...more(index) }));
}

async function claimAll(requests: readonly { claimant: string }[]): Promise<void> {
  const outcomes = await Promise.all(requests.map((request) => vouchers.claim(request, async ({ row }) => row.code)));
  for (const { status } of outcomes) expect(["completed", "replayed"]).toContain(status);
}

function nameOf(text: string): string {
  if (text === "discard plans") return "plans dropped";
  if (text.includes('"exclaim request" as materialized')) return "new claims";
  if (text.includes('"exclaim member" as materialized')) return "any claims";
  if (text.includes("set status = 'completed'")) return "completions";
  if (text.includes("set status = 'released'")) return "releases";
  return text;
}
