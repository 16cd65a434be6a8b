import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { ClaimAnswer } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

/** Ways to lead the planner to other plans than its first choice. */
const PLANNERS = [
  "",
  "-c enable_hashjoin=off",
  "-c enable_nestloop=off",
  "-c enable_mergejoin=off -c enable_hashjoin=off",
  "-c enable_nestloop=off -c enable_hashjoin=off",
  "-c enable_seqscan=off -c enable_material=off",
  "-c enable_indexscan=off -c enable_indexonlyscan=off -c enable_bitmapscan=off",
  "-c enable_sort=off -c enable_hashagg=off",
  "-c join_collapse_limit=1 -c from_collapse_limit=1",
  "-c cursor_tuple_fraction=1 -c random_page_cost=1000",
];

describe("a batch of n claimants", () => {
  // Planted: five rows more than claimants chosen, of which the statement writes only what it needs. Each of these fails then, by
  // the rows that were locked for nobody.
  for (const planner of PLANNERS) {
    it(`takes and locks n rows, no more, when the planner knows the table as empty, with "${planner || "its own choice"}"`, async () => {
      const pool = await createTable({ orderBy: "id" });
      await database.sql.query(`analyze ${pool.table}`);
      await database.sql.query(`insert into ${pool.table} select i from generate_series(1, 10000) i`);
      const ledger = database.openLedger({ options: `${planner} -c jit=off` });
      const wish = { scope: { campaign_id: 1 } };

      const answers = await ledger.claimMany(pool, ["1", "2", "3", "4", "5", "6", "7"], wish);
      const unordered = await ledger.claimMany({ ...pool, orderBy: "campaign_id" }, ["8", "9"], wish);
      const picked = await ledger.claimMany(pool, ["10"], { ...wish, pick: "9000" });
      await ledger.ledger.fail(answers.slice(0, 3).map((answer) => asClaimed(answer).claim));
      const resumed = await ledger.claimMany(pool, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], wish);

      const ids = [...answers, ...unordered].map((answer) => asClaimed(answer).claim.resourceId);
      expect(ids.slice(0, 7).toSorted()).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
      expect(new Set(ids).size).toBe(9);
      expect(asClaimed(picked[0]).claim.resourceId).toBe("9000");
      expect(resumed.slice(0, 3).map((answer) => asClaimed(answer).claim.token)).toEqual([2n, 2n, 2n]);
      expect(resumed.slice(3).map(({ status }) => status)).toEqual(Array(7).fill("contended"));
      expect(await database.column(`select count(user_id)::int from ${pool.table}`)).toEqual([10]);
      // A row that was locked and not written keeps the mark of its locker.
      expect(await database.column(`select id from ${pool.table} where user_id is null and xmax::text <> '0'`)).toEqual([]);
    });
  }
});

describe("more claimants than a statement chooses rows for", () => {
  it("S6 are contended, not empty, while there are rows, and empty when there are none", async () => {
    const pool = await createTable({}, 420);
    const claimants = Array.from({ length: 430 }, (_, index) => String(index + 1));

    const first = await database.ledger.claimMany(pool, claimants);
    const left = claimants.filter((_, index) => first[index]?.status !== "claimed");
    const second = await database.ledger.claimMany(pool, left);

    expect(counted(first)).toEqual({ claimed: 400, contended: 30 });
    expect(counted(second)).toEqual({ claimed: 20, empty: 10 });
  });
});

describe("a pool of half as many rows as claimants", () => {
  it("S6 gives every row before anybody is told empty, though others lock rows and roll back all the while", async () => {
    const pool = await createTable({}, 30);
    let isOver = false;
    const disturbing = [1, 2, 3].map(async (part) => {
      const client = await database.sql.connect();
      while (!isOver) {
        await client.query("begin");
        await client.query(`update ${pool.table} set code = 'x' where id % 3 = ${part % 3} and user_id is null`);
        await client.query("select pg_sleep(0.02)");
        await client.query("rollback");
      }
      client.release();
    });
    const told: Record<string, number> = { claimed: 0, empty: 0 };

    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        let waiting = [1, 2, 3].map((count) => String(index * 3 + count));
        while (waiting.length > 0) {
          const answers = await database.ledger.claimMany(pool, waiting);
          for (const status of ["claimed", "empty"]) told[status] = (told[status] ?? 0) + (counted(answers)[status] ?? 0);
          waiting = waiting.filter((_, position) => answers[position]?.status === "contended");
        }
      }),
    );
    isOver = true;
    await Promise.all(disturbing);

    expect(told).toEqual({ claimed: 30, empty: 30 });
    expect(await database.column(`select count(distinct user_id)::int from ${pool.table}`)).toEqual([30]);
  });
});

describe("a free row that another transaction has locked", () => {
  // Planted: `empty`, and `taken` for a pick, as soon as the read that skips locked rows finds none. Each of these fails then.
  it("S6 makes a claim contended, not empty, and is claimed once that transaction was rolled back", async () => {
    const pool = await createTable({}, 1);
    const other = await begin(`select * from ${pool.table} for update`);

    const during = await database.ledger.claimMany(pool, ["7", "8"]);
    await other.query("rollback");
    const after = await database.ledger.claimMany(pool, ["7", "8"]);

    expect(during.map(({ status }) => status)).toEqual(["contended", "contended"]);
    expect(after.map(({ status }) => status)).toEqual(["claimed", "empty"]);
  });

  it("S6 makes a claim contended while it is being taken, and empty once it is", async () => {
    const pool = await createTable({}, 1);
    const other = await begin(`update ${pool.table} set user_id = 99`);

    const during = await database.ledger.claim(pool, "7");
    await other.query("commit");
    const after = await database.ledger.claim(pool, "7");

    expect(during).toEqual({ status: "contended", retryAfterMs: 100 });
    expect(after).toEqual({ status: "empty" });
  });

  it("S6 is not waited for: the others of the pool are claimed at once", async () => {
    const pool = await createTable({ orderBy: "id" }, 3);
    await begin(`select * from ${pool.table} where id < 3 for update`);

    const answers = await database.ledger.claimMany(pool, ["7", "8"]);

    expect(answers.map(({ status }) => status)).toEqual(["claimed", "contended"]);
    expect(asClaimed(answers[0]).claim.resourceId).toBe("3");
  });

  it("S6 makes a claim contended by any lock that keeps it from being written", async () => {
    const pool = await createTable({}, 1);
    await begin(`select * from ${pool.table} for share`);

    const answer = await database.ledger.claim(pool, "7");

    expect(answer.status).toBe("contended");
  });

  it("S6 makes a pick of it contended, and is claimed by it after the rollback", async () => {
    const pool = await createTable({}, 2);
    const other = await begin(`select * from ${pool.table} where id = 2 for update`);

    const during = await database.ledger.claim(pool, "7", { pick: "2" });
    await other.query("rollback");

    expect(during.status).toBe("contended");
    expect(asClaimed(await database.ledger.claim(pool, "7", { pick: "2" })).claim.resourceId).toBe("2");
  });

  it("S6 of another scope, or one that where leaves out, does not keep a claim from being empty", async () => {
    const pool = await createTable({ where: "code is null" }, 2);
    await database.sql.query(`update ${pool.table} set code = 'X' where id = 1`);
    await database.sql.query(`update ${pool.table} set campaign_id = 2 where id = 2`);
    await begin(`select * from ${pool.table} for update`);

    const answers = [
      await database.ledger.claim(pool, "7", { scope: { campaign_id: 1 } }),
      await database.ledger.claim(pool, "7", { scope: { campaign_id: 3 } }),
      await database.ledger.claim(pool, "7", { scope: { campaign_id: 2 } }),
    ];

    expect(answers.map(({ status }) => status)).toEqual(["empty", "empty", "contended"]);
  });
});

function counted(answers: readonly ClaimAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Autovacuum would let the planner know what the tests keep from it. */
async function createTable(definition: Partial<PoolDefinition>, rows = 0): Promise<PoolDefinition> {
  tables += 1;
  const table = `limits_${tables}`;
  await database.sql.query(`create table ${table} (id bigint primary key, user_id bigint, code text, campaign_id int default 1)
    with (autovacuum_enabled = false)`);
  await database.sql.query(`insert into ${table} select generate_series(1, ${rows})`);
  return { table, ownerColumn: "user_id", ...definition };
}

/** A transaction that stays open until the test ends it or is finished. */
async function begin(statement: string): Promise<pg.PoolClient> {
  const client = await database.sql.connect();
  onTestFinished(async () => {
    await client.query("rollback");
    client.release();
  });
  await client.query("begin");
  await client.query(statement);
  return client;
}
