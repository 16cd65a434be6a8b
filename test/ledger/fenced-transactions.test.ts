import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ClaimRef, Transaction } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;
let pool: PoolDefinition;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  tables += 1;
  const table = `fenced_${tables}`;
  await database.sql.query(`create table ${table} (id int primary key, user_id bigint)`);
  await database.sql.query(`insert into ${table} select generate_series(1, 5)`);
  await database.sql.query(`create table note_${tables} (text text unique deferrable initially deferred, amount int)`);
  pool = { table, ownerColumn: "user_id", orderBy: "id" };
});

describe("a long fenced transaction of one claimant", () => {
  it("holds up nobody else of its batch: not their claims, renewals, completions, failures or releases", async () => {
    const { ledger } = database.ledger;
    const [long, b, c] = await database.ledger.claims(pool, ["1", "2", "3"], { ttlMs: 60_000 });
    if (long === undefined || b === undefined || c === undefined) throw new Error("Three claims were asked for.");
    const open = await openTransaction(long);

    const claimed = await database.ledger.claimMany(pool, ["1", "4", "2"]);
    const renewed = await ledger.renew([b, long, c], 30_000);
    const completed = await ledger.complete([long, b].map((claim) => ({ claim, result: undefined })));
    const failed = await ledger.fail([long, c]);
    const four = asClaimed(claimed[1]).claim;
    const released = await ledger.release(pool, [four, long]);
    await open.commit();

    expect(claimed.map(({ status }) => status)).toEqual(["contended", "claimed", "contended"]);
    expect(renewed).toEqual(["done", "done", "done"]);
    expect([completed, failed, released]).toEqual([
      ["busy", "done"],
      ["busy", "done"],
      ["done", "busy"],
    ]);
  });

  it("lets its own lease be renewed, alone too", async () => {
    const { claim } = await database.ledger.claimed(pool, "7", { ttlMs: 1_000 });
    const open = await openTransaction(claim);

    const renewed = await database.ledger.ledger.renew([claim], 60_000);
    await open.commit();

    expect(renewed).toEqual(["done"]);
    expect((await database.ledger.ledger.find(pool, {}, "7"))?.leaseMs).toBeGreaterThan(30_000);
  });

  // Planted: `for key share` left out where the transaction begins: the claim was resumed while it was open, and it committed.
  it("S4 keeps a takeover out though the lease is over, and lets it in once it has ended", async () => {
    const { claim } = await database.ledger.claimed(pool, "7", { ttlMs: 1 });
    const open = await openTransaction(claim);
    await leaseIsOver("7");

    const during = await database.ledger.claim(pool, "7");
    await open.commit();
    const after = await database.ledger.claimed(pool, "7");

    expect(during.status).toBe("contended");
    expect(after).toMatchObject({ resumed: true, claim: { token: claim.token + 1n, resourceId: claim.resourceId } });
    expect(await notes()).toEqual(["written"]);
  });

  it("S4 keeps a release, a failure or a completion that may wait waiting until it has ended", async () => {
    const claims = await database.ledger.claims(pool, ["1", "2", "3"]);
    const [a, b, c] = claims;
    if (a === undefined || b === undefined || c === undefined) throw new Error("Three claims were asked for.");
    const open = await Promise.all(claims.map((claim) => openTransaction(claim)));
    let ended = 0;
    const count = (): void => {
      ended += 1;
    };

    const { ledger } = database.openLedger();
    const wait = { wait: true };
    const ends = [
      ledger.release(pool, [a], wait),
      ledger.fail([b], wait),
      ledger.complete([{ claim: c, result: undefined }], wait),
    ];
    for (const end of ends) void end.then(count);
    await eventually(async () => {
      const sql = "select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      expect(await database.column(sql)).toEqual([3]);
    });
    const before = ended;
    for (const transaction of open) await transaction.commit();

    expect(before).toBe(0);
    expect(await Promise.all(ends)).toEqual([["done"], ["done"], ["done"]]);
    expect(await notes()).toEqual(["written", "written", "written"]);
  });
});

describe("a stale token", () => {
  // Planted: the fence without `token = $4`, and the completion without `c.token = i.token`.
  it("S4 writes nothing, and ends nothing, after the claim was resumed", async () => {
    const stale = (await database.ledger.claimed(pool, "7")).claim;
    await database.ledger.ledger.fail([stale]);
    const { claim } = await database.ledger.claimed(pool, "7");
    let ran = false;

    const error = await thrownBy(
      database.ledger.ledger.transact(stale, async (tx) => {
        ran = true;
        await tx.query(`insert into note_${tables} values ('stale')`);
      }),
    );
    const ends = [
      await database.ledger.ledger.complete([{ claim: stale, result: '"stale"' }]),
      await database.ledger.ledger.fail([stale]),
      await database.ledger.ledger.release(pool, [stale]),
      await database.ledger.ledger.renew([stale], 60_000),
    ];

    expect([error.code, ran]).toEqual(["FENCED", false]);
    expect(ends.flat()).toEqual(["lost", "lost", "lost", "lost"]);
    expect(await notes()).toEqual([]);
    expect(await database.ledger.ledger.find(pool, {}, "7")).toMatchObject({ status: "held", claim });
  });

  it("S4 of a row given back is not the same number of another row", async () => {
    const first = (await database.ledger.claimed(pool, "7", { pick: "1" })).claim;
    await database.ledger.ledger.release(pool, [first]);
    const second = (await database.ledger.claimed(pool, "7", { pick: "2" })).claim;

    const error = await thrownBy(database.ledger.ledger.transact(first, async () => {}));
    const ends = [
      await database.ledger.ledger.complete([{ claim: first, result: undefined }]),
      await database.ledger.ledger.fail([first]),
      await database.ledger.ledger.renew([first], 60_000),
    ];

    expect([first.token, second.token]).toEqual([1n, 1n]);
    expect(error.code).toBe("FENCED");
    expect(ends.flat()).toEqual(["lost", "lost", "lost"]);
  });

  it("S4 waits for a takeover that is under way and is then fenced", async () => {
    const { claim } = await database.ledger.claimed(pool, "7");
    const takeover = await database.sql.connect();
    await takeover.query("begin");
    await takeover.query("select 1 from exclaim.claims where claimant = '7' and pool = $1 for update", [claim.pool]);
    await takeover.query("update exclaim.claims set token = token + 1 where claimant = '7' and pool = $1", [claim.pool]);

    const writing = thrownBy(database.ledger.ledger.transact(claim, (tx) => write(tx, "stale")));
    await eventually(async () => {
      const sql = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      expect(await database.column(sql)).toHaveLength(1);
    });
    await takeover.query("commit");
    takeover.release();

    expect((await writing).code).toBe("FENCED");
    expect(await notes()).toEqual([]);
  });
});

interface OpenTransaction {
  commit(): Promise<void>;
}

/** A fenced transaction that has written a note and stays open until `commit`. */
async function openTransaction(claim: ClaimRef): Promise<OpenTransaction> {
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let begun = (): void => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const transaction = database.ledger.ledger.transact(claim, async (tx) => {
    await write(tx, "written");
    begun();
    await finished;
  });
  await Promise.race([hasBegun, transaction]);
  return {
    commit: () => {
      finish();
      return transaction;
    },
  };
}

async function write(tx: Transaction, text: string): Promise<void> {
  await tx.query(`insert into note_${tables} (text, amount) values ($1 || ' ' || clock_timestamp(), 1)`, [text]);
}

async function notes(): Promise<unknown[]> {
  return database.column(`select split_part(text, ' ', 1) from note_${tables} order by 1`);
}

async function leaseIsOver(claimant: string): Promise<void> {
  await eventually(async () => {
    expect((await database.ledger.ledger.find(pool, {}, claimant))?.leaseMs).toBe(0);
  });
}
