import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, type TestLedger } from "./ledger-database.ts";
import { closeGate, createGate, pausingAt } from "./pause.ts";

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
  await createGate(database);
});

afterAll(() => database.drop());

/** What a database, a role or a connection may be set to; the ledger's statements are written for the first. */
const ISOLATIONS = ["read committed", "repeatable read", "serializable"];

describe("a row that is claimed and released between a claim's snapshot and its lock", () => {
  // Planted: `left join released_tokens t on t.pool = $1 and t.resource_id = p.id` in the place of last_released_tokens(), which
  // reads with the snapshot of the statement: the paused claim got token 1 after 1 and 2 had been given. The first test of each
  // pair fails then, under read committed.
  for (const isolation of ISOLATIONS) {
    const paused = { options: `${pausingAt().options} -c default_transaction_isolation=${isolation.replace(" ", "\\ ")}` };

    it(`S3 is claimed with a token above all that were given meanwhile, under ${isolation}`, async () => {
      const pool = await createTable();
      const ledger = await opened(pool, paused);
      const gate = await closeGate(database);
      const claiming = ledger.claimed(pool, "7");
      await gate.isWaitedAt();
      const tokens = [];
      for (const claimant of ["8", "9"]) {
        const { claim } = await database.ledger.claimed(pool, claimant);
        tokens.push(claim.token);
        await database.ledger.ledger.release(pool, [claim]);
      }

      await gate.open();
      const { claim, attempt } = await claiming;

      expect(tokens).toEqual([1n, 2n]);
      expect([claim.token, attempt]).toEqual([3n, 1]);
      expect(await database.column(`select user_id from ${pool.table}`)).toEqual(["7"]);
    });

    it(`S3 is picked with a token above all that were given meanwhile, under ${isolation}`, async () => {
      const pool = await createTable();
      const ledger = await opened(pool, paused);
      const gate = await closeGate(database);
      const claiming = ledger.claimed(pool, "7", { pick: "1" });
      await gate.isWaitedAt();
      const { claim: other } = await database.ledger.claimed(pool, "8");
      await database.ledger.ledger.release(pool, [other]);

      await gate.open();
      const { claim } = await claiming;

      expect([other.token, claim.token]).toEqual([1n, 2n]);
    });

    // Planted: rows chosen without a lock, written whoever owns them, and no unique index on the resource: claimed by both.
    it(`S1 is not claimed again when it was given away for good meanwhile, under ${isolation}`, async () => {
      const pool = await createTable();
      const ledger = await opened(pool, paused);
      const gate = await closeGate(database);
      const claiming = ledger.claim(pool, "7");
      await gate.isWaitedAt();
      const { claim } = await database.ledger.claimed(pool, "8");
      await database.ledger.ledger.complete([{ claim, result: undefined }]);

      await gate.open();
      const answer = await claiming;

      expect(["contended", "empty"]).toContain(answer.status);
      expect(await database.ledger.claim(pool, "7")).toEqual({ status: "empty" });
      expect(await database.column(`select user_id from ${pool.table}`)).toEqual(["8"]);
    });
  }
});

describe("a row whose owner somebody set to null while its claim is being released", () => {
  // Planted: a release that locks no row unless its owner is still the claimant: the row was claimed with token 1 after token 3.
  it("S3 is not claimed before the release has committed, and then above its token", async () => {
    const pool = await createTable();
    await database.sql.query(`create function linger_${tables}() returns trigger language plpgsql as $$ begin
      perform gate(new.token); return null; end $$`);
    await database.sql.query(`create constraint trigger linger_${tables} after update on exclaim.claims deferrable initially deferred
      for each row when (new.status = 'released') execute function linger_${tables}()`);
    const ledger = await opened(pool, pausingAt());
    for (let turn = 0; turn < 2; turn += 1) {
      await database.ledger.ledger.fail([(await database.ledger.claimed(pool, "7")).claim]);
    }
    const { claim } = await database.ledger.claimed(pool, "7");
    await database.sql.query(`update ${pool.table} set user_id = null`);
    const gate = await closeGate(database);
    const releasing = ledger.ledger.release(pool, [claim]);
    await gate.isWaitedAt();

    const during = await database.ledger.claim(pool, "8");
    await gate.open();
    const released = await releasing;
    const after = await database.ledger.claimed(pool, "8");

    await database.sql.query(`drop trigger linger_${tables} on exclaim.claims`);
    expect([during.status, released]).toEqual(["contended", ["done"]]);
    expect([claim.token, after.claim.token]).toEqual([3n, 4n]);
  });
});

describe("the tokens of rows that many pass on", () => {
  for (const isolation of ISOLATIONS) {
    it(`S3 grow in the order in which their claims commit, under ${isolation}`, async () => {
      const pool = await createTable();
      await database.sql.query(`create table history_${tables} (place bigint generated always as identity, token bigint)`);
      // Written under the row's lock, so that the places are in commit order for each row.
      await database.sql.query(`create function note_${tables}() returns trigger language plpgsql as $$ begin
        insert into history_${tables} (token)
          select token from exclaim.claims where pool = 'public.${pool.table}' and resource_id = new.id::text;
        return null; end $$`);
      await database.sql.query(`create constraint trigger note after update on ${pool.table} deferrable initially deferred
        for each row when (new.user_id is not null) execute function note_${tables}()`);
      const ledger = database.openLedger({ options: `-c default_transaction_isolation=${isolation.replace(" ", "\\ ")}` });

      const given = await Promise.all(
        ["1", "2", "3", "4", "5", "6"].map(async (claimant) => {
          let count = 0;
          for (let turn = 0; turn < 10; turn += 1) {
            const answer = await ledger.claim(pool, claimant).catch(() => null);
            if (answer?.status !== "claimed") continue;
            count += 1;
            await database.ledger.ledger.release(pool, [asClaimed(answer).claim]);
          }
          return count;
        }),
      );

      const history = await database.column(`select token::int from history_${tables} order by place`);
      const total = given.reduce((sum, count) => sum + count);
      expect(total).toBeGreaterThan(0);
      expect(history).toEqual(Array.from({ length: total }, (_, index) => index + 1));
    });
  }
});

/** A ledger that has checked the pool, which asks its condition too: only its claims come to the gate. */
async function opened(pool: PoolDefinition, connections: pg.PoolConfig): Promise<TestLedger> {
  const ledger = database.openLedger(connections);
  await ledger.ledger.find(pool, {}, "7");
  return ledger;
}

/** One free row. */
async function createTable(): Promise<PoolDefinition> {
  tables += 1;
  const table = `tokens_${tables}`;
  await database.sql.query(`create table ${table} (id bigint primary key, user_id bigint)`);
  await database.sql.query(`insert into ${table} values (1)`);
  return { table, ownerColumn: "user_id", where: "gate(id)" };
}
