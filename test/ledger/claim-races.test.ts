import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, recording, testLedger } from "./ledger-database.ts";
import { closeGate, createGate, pausingAt } from "./pause.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
  await createGate(database);
});

afterAll(() => database.drop());

describe("batches of many processes that name the same claimants in different orders", () => {
  it("wait for each other in no ring: nothing deadlocks while they claim, resume, renew, end and release", async () => {
    const pool = await createTable({ set: { status: "taken" } }, 60);
    const records = [1, 2, 3, 4, 5, 6].map(() => recording(openConnections({ connectionString: database.url, max: 3 })));
    const claimants = Array.from({ length: 40 }, (_, index) => String(index + 1));

    await Promise.all(
      records.map(async (record, index) => {
        const pod = testLedger(record.database);
        for (let turn = 0; turn < 12; turn += 1) {
          const batch = rotated(index % 2 === 0 ? claimants : claimants.toReversed(), turn * 7 + index * 13).slice(0, 25);
          const answers = await pod.claimMany(pool, batch);
          const claims = answers.flatMap((answer) => (answer.status === "claimed" ? [answer.claim] : []));
          await pod.ledger.renew(claims.toReversed(), 30_000);
          if (turn % 3 === 0) await pod.ledger.release(pool, rotated(claims, turn));
          else if (turn % 3 === 1) await pod.ledger.fail(rotated(claims, turn));
          else await pod.ledger.complete(rotated(claims, turn).map((claim) => ({ claim, result: '"done"' })));
        }
      }),
    );

    expect(records.flatMap(({ failures }) => failures)).toEqual([]);
    const [owned, live, doubled] = await Promise.all([
      database.column(`select id from ${pool.table} where user_id is not null order by id`),
      database.column(
        "select resource_id::int from exclaim.claims where pool = $1 and status <> 'released' order by resource_id::int",
        [`public.${pool.table}`],
      ),
      database.column(`select user_id from ${pool.table} where user_id is not null group by 1 having count(*) > 1`),
    ]);
    expect(owned).toEqual(live);
    expect(doubled).toEqual([]);
  });
});

describe("two claims that each know a claimant the other does not", () => {
  // Planted: unknown claimants added with `on conflict do update`, which waits for records that another statement has locked: the
  // first waited for the second there, and the second for the first, until the server ended one with 40P01.
  it("do not wait for each other: who comes second is contended", async () => {
    const pool = await createTable({}, 5, "bigint", "gate(id)");
    const record = recording(openConnections({ connectionString: database.url, ...pausingAt(1) }));
    const [first, second] = [testLedger(record.database), database.openLedger(pausingAt(2))];
    for (const ledger of [first, second]) await expectKnown(ledger, pool);
    const gates = [await closeGate(database, 1), await closeGate(database, 2)];
    let isAnswered = false;
    const claiming = first.claimMany(pool, ["7", "8"]).finally(() => {
      isAnswered = true;
    });
    await gates[0]?.isWaitedAt();
    await database.ledger.ledger.release(pool, [(await database.ledger.claimed(pool, "8")).claim]);
    const knowing = second.claimMany(pool, ["7", "8"]);
    await gates[1]?.isWaitedAt();

    await gates[0]?.open();
    await eventually(async () => isAnswered || (await waitsForTransaction()), {
      what: "the first claim's end, or its waiting",
    });
    await gates[1]?.open();
    const answers = [await claiming, await knowing];

    expect(record.failures).toEqual([]);
    expect(answers.map((batch) => batch.map(({ status }) => status))).toEqual([
      ["claimed", "contended"],
      ["contended", "claimed"],
    ]);
  });
});

describe("deliveries of one claimant", () => {
  // Planted: claims kept by holder too, primary key (pool, scope, claimant, holder): two and more rows were owned by claimant 7.
  it("S2 get one row when 20 connections ask at once, and again after each release", async () => {
    const pool = await createTable({}, 30);
    const pods = Array.from({ length: 20 }, () => database.openLedger({ max: 1 }));
    await Promise.all(pods.map((pod) => pod.ledger.find(pool, {}, "7")));

    for (let round = 1; round <= 5; round += 1) {
      const answers = await Promise.all(pods.map((pod) => pod.claim(pool, "7")));

      const winners = answers.filter((answer) => answer.status === "claimed");
      expect(winners).toHaveLength(1);
      expect(answers.filter((answer) => answer.status === "contended")).toHaveLength(19);
      expect(await database.column(`select count(user_id)::int from ${pool.table}`)).toEqual([1]);
      await database.ledger.ledger.release(pool, [asClaimed(winners[0]).claim]);
    }
  });

  it("S2 get one row when the second begins before the first has committed and asks for the row afterwards", async () => {
    const pool = await createTable({}, 2, "bigint", "gate(id)");
    const slow = database.openLedger(pausingAt());
    await slow.ledger.find(pool, {}, "7");
    const gate = await closeGate(database);
    const second = slow.claim(pool, "7");
    await gate.isWaitedAt();
    const first = await database.ledger.claimed(pool, "7");

    await gate.open();
    const answer = await second;

    expect(answer).toMatchObject({ status: "contended" });
    expect(await database.column(`select id from ${pool.table} where user_id is not null`)).toEqual([
      Number(first.claim.resourceId),
    ]);
  });

  it("S2 in one batch are answered once, in every spelling of the claimant", async () => {
    const pool = await createTable({}, 5);

    const answers = await database.ledger.claimMany(pool, ["7", "8", "07", " 7", "8", "+7"]);

    expect(answers.map(({ status }) => status)).toEqual(["claimed", "claimed", ...Array(4).fill("contended")]);
    expect(await database.column(`select user_id from ${pool.table} where user_id is not null order by 1`)).toEqual(["7", "8"]);
  });

  // Planted: the row of a claim judged by the statement's snapshot alone, though the claim was made after it: ROW_CHANGED.
  it("are contended, not told that their row changed, when it was claimed and failed while they waited for the claim", async () => {
    const pool = await createTable({}, 3, "gated_bigint");
    const slow = database.openLedger(pausingAt());
    const fast = database.ledger;
    await fast.ledger.release(pool, [(await fast.claimed(pool, "7")).claim]);
    await slow.ledger.release(pool, [(await slow.claimed(pool, "8")).claim]);
    await expectKnown(slow, pool);
    const gate = await closeGate(database);
    const second = slow.claim(pool, "7");
    await gate.isWaitedAt();
    await fast.ledger.fail([(await fast.claimed(pool, "7")).claim]);

    await gate.open();
    const answer = await second;

    expect(answer).toMatchObject({ status: "contended" });
    expect(await slow.claimed(pool, "7")).toMatchObject({ resumed: true, attempt: 2 });
  });

  it("S3 resume once when many find the lease over, with one token more", async () => {
    const pool = await createTable({}, 1);
    const first = await database.ledger.claimed(pool, "7", { ttlMs: 1 });
    const pods = Array.from({ length: 10 }, () => database.openLedger({ max: 1 }));
    await eventually(async () => {
      expect(await database.column("select claimant from exclaim.claims where leased_until < clock_timestamp()")).toEqual([
        "7",
      ]);
    });

    const answers = await Promise.all(pods.map((pod) => pod.claim(pool, "7")));

    const winners = answers.filter((answer) => answer.status === "claimed");
    expect(winners.map(({ claim, resumed }) => [claim.token, resumed])).toEqual([[first.claim.token + 1n, true]]);
  });
});

/** A ledger that has just met claimants with claims does not try the next ones as new, so that it is the other statement that races. */
async function expectKnown(ledger: ReturnType<typeof testLedger>, pool: PoolDefinition): Promise<void> {
  await database.ledger.claim(pool, "99");
  await ledger.claim(pool, "99");
}

async function createTable(
  definition: Partial<PoolDefinition>,
  rows: number,
  ownerType = "bigint",
  where?: string,
): Promise<PoolDefinition> {
  tables += 1;
  const table = `races_${tables}`;
  await database.sql.query(`create table ${table} (id int primary key, user_id ${ownerType}, status text default 'free')`);
  await database.sql.query(`insert into ${table} select generate_series(1, ${rows})`);
  return { table, ownerColumn: "user_id", ...definition, ...(where === undefined ? {} : { where }) };
}

async function waitsForTransaction(): Promise<boolean> {
  const waiting = await database.column(
    "select 1 from pg_stat_activity where datname = current_database() and wait_event in ('transactionid', 'tuple')",
  );
  return waiting.length > 0;
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
