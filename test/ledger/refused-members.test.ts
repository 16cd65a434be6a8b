import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ClaimAnswer } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { refusalOf } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, recording, type TestLedger, testLedger } from "./ledger-database.ts";

let database: LedgerDatabase;
let pool: PoolDefinition;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
  await database.sql.query("create table member (id bigint primary key)");
  await database.sql.query("insert into member select generate_series(1, 20)");
  await database.sql.query("delete from member where id = 13");
});

afterAll(() => database.drop());

beforeEach(async () => {
  tables += 1;
  pool = { table: `refusing_${tables}`, ownerColumn: "user_id", set: { status: "taken" } };
  await database.sql.query(`create table ${pool.table} (id int primary key, user_id bigint, status text default 'free')`);
  await database.sql.query(`insert into ${pool.table} select generate_series(1, 20)`);
});

interface Obstacle {
  readonly title: string;
  /** Makes claimant 13 impossible. */
  readonly sql: string;
  readonly says: string;
}

const obstacles: readonly Obstacle[] = [
  {
    title: "a trigger raises",
    sql: trigger("before update", "if new.user_id = 13 then raise exception 'thirteen is barred'; end if; return new;"),
    says: "thirteen is barred",
  },
  {
    title: "a trigger raises after the write",
    sql: trigger("after update", "if new.user_id = 13 then raise exception 'barred afterwards'; end if; return null;"),
    says: "barred afterwards",
  },
  {
    title: "a trigger leaves the row as it was",
    sql: trigger("before update", "if new.user_id = 13 then return null; end if; return new;"),
    says: "could not be written",
  },
  {
    title: "a trigger writes another owner",
    sql: trigger("before update", "if new.user_id = 13 then new.user_id = 14; end if; return new;"),
    says: "could not be written",
  },
  {
    title: "a trigger takes the owner out again",
    sql: trigger("before update", "if new.user_id = 13 then new.user_id = null; end if; return new;"),
    says: "could not be written",
  },
  {
    title: "a foreign key is broken",
    sql: "alter table %t add foreign key (user_id) references member",
    says: "violates foreign key constraint",
  },
  {
    title: "a foreign key that is checked at commit is broken",
    sql: "alter table %t add foreign key (user_id) references member deferrable initially deferred",
    says: "violates foreign key constraint",
  },
  {
    title: "a check of the table is broken",
    sql: "alter table %t add check (user_id <> 13)",
    says: "violates check constraint",
  },
  {
    title: "a unique index of the table is broken",
    sql: "create unique index on %t (user_id); update %t set user_id = 13 where id = 20",
    says: "duplicate key value",
  },
];

describe("one of a batch that cannot be claimed", () => {
  for (const { title, sql, says } of obstacles) {
    it(`is refused alone with CLAIM_REFUSED when ${title}, and leaves no claim and no row behind`, async () => {
      await database.sql.query(sql.replaceAll("%t", pool.table));
      const before = await database.column(`select id from ${pool.table} where user_id in (13, 14) order by id`);

      const answers = await database.ledger.claimMany(pool, ["11", "12", "13", "15", "16"]);
      const alone = await database.ledger.claim(pool, "13");

      expect(answers.map(({ status }) => status)).toEqual(["claimed", "claimed", "refused", "claimed", "claimed"]);
      for (const answer of [answers[2], alone])
        expect(refusal(answer)).toEqual(["CLAIM_REFUSED", expect.stringContaining(says)]);
      expect(await claimants()).toEqual(["11", "12", "15", "16"]);
      expect(await database.column(`select id from ${pool.table} where user_id in (13, 14) order by id`)).toEqual(before);
      const taken = await database.column(`select count(*)::int from ${pool.table} where status = 'taken'`);
      expect(taken).toEqual([4]);
    });
  }

  it("is found by halving: of eight, in four more failures, with the statements of a search and no more", async () => {
    const { ledger, claimStatements } = counting();
    await ledger.ledger.find(pool, {}, "1");

    const smooth = await ledger.claimMany(pool, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    const smoothCount = claimStatements();
    const answers = await ledger.claimMany(pool, ["11", "12", "13", "15", "16", "17", "bad", "18"]);

    expect([smooth.length, smoothCount]).toEqual([8, 1]);
    expect(answers.map(({ status }) => status === "refused")).toEqual([false, false, false, false, false, false, true, false]);
    // 8 fail as new claims; 8 fail; 4 pass, 4 fail; 2 pass, 2 fail; 1 fails, 1 passes.
    expect(claimStatements() - smoothCount).toBe(8);
  });

  it("is not the only one: each is told its own reason", async () => {
    const barred = trigger("before update", "if new.user_id = 13 then raise exception 'barred'; end if; return new;");
    await database.sql.query(barred.replaceAll("%t", pool.table));

    const answers = await database.ledger.claimMany(pool, ["13", "x", "11", "99999999999999999999", "12"]);

    expect(answers.map(({ status }) => status)).toEqual(["refused", "refused", "claimed", "refused", "claimed"]);
    expect([0, 1, 3].map((index) => refusalOf(answers[index]))).toEqual([
      "CLAIM_REFUSED",
      "CLAIMANT_INVALID",
      "CLAIMANT_INVALID",
    ]);
    expect(await claimants()).toEqual(["11", "12"]);
  });

  it("is refused without others being answered twice: their claims are those the halves made", async () => {
    const answers = await database.ledger.claimMany(pool, ["1", "2", "3", "x", "4", "5"]);

    const rows = answers.flatMap((answer) =>
      answer.status === "claimed" ? [[answer.claim.claimant, answer.claim.resourceId]] : [],
    );
    expect(rows.map(([claimant]) => claimant)).toEqual(["1", "2", "3", "4", "5"]);
    const kept = await database.sql.query(
      `select user_id, id::text from ${pool.table} where user_id is not null order by user_id`,
    );
    expect(rows).toEqual(kept.rows.map((row) => [row.user_id, row.id]));
  });
});

describe("one of a batch that cannot be ended", () => {
  it("is refused alone when a trigger keeps it from being released, and its claim stays as it was", async () => {
    const claims = await database.ledger.claims(pool, ["11", "12", "13", "15"]);
    const stays = trigger("before update", "if old.user_id = 13 then raise exception 'stays'; end if; return new;");
    await database.sql.query(stays.replaceAll("%t", pool.table));

    const answers = await database.ledger.ledger.release(pool, claims);

    expect(answers).toEqual(["done", "done", { refused: expect.objectContaining({ code: "CLAIM_REFUSED" }) }, "done"]);
    expect(await database.ledger.ledger.find(pool, {}, "13")).toMatchObject({ status: "held" });
    expect(await database.column(`select user_id from ${pool.table} where user_id is not null`)).toEqual(["13"]);
  });

  it("S5 is refused alone when its result is no JSON, and the others are completed", async () => {
    const claims = await database.ledger.claims(pool, ["11", "12", "13"]);

    const answers = await database.ledger.ledger.complete(
      claims.map((claim, index) => ({ claim, result: index === 1 ? "{broken" : "1" })),
    );

    expect(answers).toEqual(["done", { refused: expect.objectContaining({ code: "CLAIM_REFUSED" }) }, "done"]);
    expect(await database.ledger.ledger.find(pool, {}, "12")).toMatchObject({ status: "held" });
  });

  it("does not make the same claim named twice a failure", async () => {
    const [claim] = await database.ledger.claims(pool, ["11"]);
    if (claim === undefined) throw new Error("A claim was asked for.");

    const answers = await database.ledger.ledger.release(pool, [claim, claim]);

    expect(answers).toEqual(["done", "done"]);
    expect(await database.ledger.claim(pool, "12", { pick: claim.resourceId })).toMatchObject({ claim: { token: 2n } });
  });
});

function trigger(when: string, body: string): string {
  return `create function check_%t() returns trigger language plpgsql as $$ begin ${body} end $$;
    create trigger check_%t ${when} on %t for each row execute function check_%t()`;
}

function counting(): { ledger: TestLedger; claimStatements(): number } {
  const record = recording(database.sql);
  return {
    ledger: testLedger(record.database),
    claimStatements: () => record.texts.filter((text) => text.includes("insert into")).length,
  };
}

function refusal(answer: ClaimAnswer | undefined): [code: string, message: string] {
  if (answer?.status !== "refused") throw new Error(`The claim was answered ${answer?.status ?? "by nothing"}.`);
  return [answer.error.code, answer.error.message];
}

function claimants(): Promise<unknown[]> {
  return database.column("select claimant from exclaim.claims where pool = $1 order by claimant", [`public.${pool.table}`]);
}
