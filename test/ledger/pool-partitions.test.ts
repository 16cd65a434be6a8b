import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed, refusalOf } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

describe("a partitioned table", () => {
  it("by hash of its id gives each of a batch a row of its own, resumes, releases and orders them", async () => {
    await create("ticket", "id bigint primary key, user_id bigint", "hash (id)");
    for (const part of [0, 1, 2]) {
      await database.sql.query(
        `create table ticket_${part} partition of ticket for values with (modulus 3, remainder ${part})`,
      );
    }
    await database.sql.query("insert into ticket select generate_series(1, 12)");
    const pool: PoolDefinition = { table: "ticket", ownerColumn: "user_id", orderBy: "id" };

    const claims = await database.ledger.claims(pool, ["1", "2", "3", "4", "5"]);
    const [first, second] = claims;
    if (first === undefined || second === undefined) throw new Error("Five claims were asked for.");
    await database.ledger.ledger.fail([first]);
    const resumed = await database.ledger.claimed(pool, "1");
    const released = await database.ledger.ledger.release(pool, [second]);
    const next = await database.ledger.claimed(pool, "6");

    expect(claims.map(({ resourceId }) => resourceId).toSorted()).toEqual(["1", "2", "3", "4", "5"]);
    expect(resumed.claim).toEqual({ ...first, token: 2n });
    expect(released).toEqual(["done"]);
    expect(next.claim).toMatchObject({ resourceId: second.resourceId, token: 2n });
  });

  it("by a list of campaigns takes an id that is unique over all of them, though its key also names the campaign", async () => {
    const pool = await createByCampaign("seat");
    await database.sql.query("insert into seat (campaign_id, id) values (1, 1), (2, 2), (2, 3)");

    const answers = await database.ledger.claimMany(pool, ["7", "8", "9"], { scope: { campaign_id: 2 } });

    expect(answers.slice(0, 2).map((answer) => asClaimed(answer).row)).toEqual([
      { campaign_id: 2, id: 2, user_id: "7" },
      { campaign_id: 2, id: 3, user_id: "8" },
    ]);
    expect(answers[2]).toEqual({ status: "empty" });
  });

  it("S1 refuses a claim whose id two rows have, and writes neither", async () => {
    const pool = await createByCampaign("place");
    await database.sql.query("insert into place (campaign_id, id) values (1, 1), (2, 1), (2, 2)");

    const answers = await database.ledger.claimMany(pool, ["7", "8"]);

    const refused = answers.filter((answer) => answer.status === "refused");
    expect(refused.map(refusalOf)).toEqual(["CLAIM_REFUSED", "CLAIM_REFUSED"]);
    expect(refused.map((answer) => answer.error.message)).toEqual([
      expect.stringContaining("2 rows were written"),
      expect.stringContaining("2 rows were written"),
    ]);
    expect(await database.column("select user_id from place where user_id is not null")).toEqual([]);
    expect(await database.column("select 1 from exclaim.claims where pool = 'public.place'")).toEqual([]);
  });

  it("S1 hands out no claim of a row that came to share its id with another", async () => {
    const pool = await createByCampaign("bench");
    await database.sql.query("insert into bench (campaign_id, id) values (1, 1), (1, 2)");
    const [first, second] = await database.ledger.claims(pool, ["7", "8"]);
    if (first === undefined || second === undefined) throw new Error("Two claims were asked for.");
    await database.ledger.ledger.fail([first, second]);
    await database.sql.query("insert into bench (campaign_id, id) values (2, 1), (2, 2)");

    const error = await thrownBy(database.ledger.claimMany(pool, ["7", "8"]));

    expect(error).toMatchObject({ code: "POOL_INVALID", message: expect.stringContaining("two rows of the same id") });
  });

  it("by a list of states moves a row between its partitions as it is claimed and released", async () => {
    await create("code", "id bigint, user_id bigint, status text default 'free', primary key (status, id)", "list (status)");
    await database.sql.query("create table code_free partition of code for values in ('free')");
    await database.sql.query("create table code_taken partition of code for values in ('taken')");
    await database.sql.query("insert into code select generate_series(1, 2)");
    const pool: PoolDefinition = {
      table: "code",
      ownerColumn: "user_id",
      idColumn: "id",
      where: { status: "free" },
      set: { status: "taken" },
      orderBy: "id",
    };

    const { claim, row } = await database.ledger.claimed(pool, "7");
    await database.ledger.ledger.fail([claim]);
    const resumed = await database.ledger.claimed(pool, "7");
    const during = await database.column("select id from code_taken");
    const released = await database.ledger.ledger.release(pool, [resumed.claim]);

    expect(row).toEqual({ id: "1", user_id: "7", status: "taken" });
    expect([during, released]).toEqual([["1"], ["done"]]);
    expect(await database.column("select id from code_free order by id")).toEqual(["1", "2"]);
    expect((await database.ledger.claimed(pool, "8")).claim).toMatchObject({ resourceId: "1", token: 3n });
  });

  it("S1 S2 is shared by many at once without a row or a claimant being doubled", async () => {
    await create("coupon", "id bigint, user_id bigint, status text default 'free', primary key (status, id)", "list (status)");
    await database.sql.query("create table coupon_free partition of coupon for values in ('free')");
    await database.sql.query("create table coupon_taken partition of coupon for values in ('taken')");
    await database.sql.query("insert into coupon select generate_series(1, 40)");
    const pool: PoolDefinition = {
      table: "coupon",
      ownerColumn: "user_id",
      idColumn: "id",
      where: { status: "free" },
      set: { status: "taken" },
    };
    const claimants = Array.from({ length: 40 }, (_, index) => String(index + 1));

    const waiting = new Set(claimants);
    const rows: string[] = [];
    while (waiting.size > 0) {
      const batches = [0, 1, 2, 3].map((part) => [...waiting].filter((_, index) => index % 4 === part));
      const answers = await Promise.all(batches.map((batch) => database.ledger.claimMany(pool, batch)));
      for (const answer of answers.flat()) {
        if (answer.status === "contended") continue;
        const { claim } = asClaimed(answer);
        rows.push(claim.resourceId);
        waiting.delete(claim.claimant);
      }
    }

    expect(new Set(rows).size).toBe(40);
    expect(rows).toHaveLength(40);
    expect(await database.column("select count(distinct user_id)::int from coupon_taken")).toEqual([40]);
  });
});

async function create(table: string, columns: string, partitioning: string): Promise<void> {
  await database.sql.query(`create table ${table} (${columns}) partition by ${partitioning}`);
}

/** Partitions for campaigns 1 and 2; the id is unique only with the campaign. */
async function createByCampaign(table: string): Promise<PoolDefinition> {
  await create(table, "campaign_id int, id int, user_id bigint, primary key (campaign_id, id)", "list (campaign_id)");
  for (const campaign of [1, 2]) {
    await database.sql.query(`create table ${table}_${campaign} partition of ${table} for values in (${campaign})`);
  }
  return { table, ownerColumn: "user_id", idColumn: "id", orderBy: "campaign_id, id" };
}
