import { createExclaim, type Exclaim, type Pool } from "exclaim";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";

/** Than the time limit of one, after which all would go on. */
const SHORTER_THAN_A_STATEMENT_MS = 8_000;

let database: FreshDatabase;
let exclaim: Exclaim;
let vouchers: Pool;

beforeEach(async () => {
  database = await freshDatabase();
  await database.pool.query(`
    create table voucher_item (id bigint primary key, campaign_id int, tags int[] default '{1,2}', user_id bigint);
    create index on voucher_item (campaign_id, id) where user_id is null;
    insert into voucher_item (id, campaign_id) select i, i % 3 from generate_series(1, 300) i;
    create function on_claim() returns trigger language plpgsql as $$
    begin
      if new.campaign_id = 2 then
        perform pg_advisory_xact_lock_shared(7);
        if current_setting('exclaim_test.forbids', true) = 'yes' then
          raise exception 'campaign 2 is not yours' using errcode = '42501';
        end if;
      end if;
      return new;
    end $$;
    create trigger on_claim before update on voucher_item for each row execute function on_claim()`);
  exclaim = createExclaim({ database: database.pool });
  await exclaim.migrate();
  vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
});

afterEach(async () => {
  await exclaim.close();
  await database.drop();
});

function claim(claimant: string, campaign: number) {
  return vouchers.claim({ claimant, scope: { campaign_id: campaign } }, async ({ key }) => key);
}

describe("claims of different scopes at once", () => {
  // Planted: those who wait not answered once a statement is held up: the test waited for campaign 1 until its own end.
  it("L1 do not wait for a scope whose rows somebody holds up", { timeout: SHORTER_THAN_A_STATEMENT_MS }, async () => {
    const keeper = await database.pool.connect();
    await keeper.query("select pg_advisory_lock(7)");
    const heldUp = claim("1", 2);
    // Those that come a moment later wait behind the statement that is held up.
    await new Promise((resolve) => setImmediate(resolve));
    const others = await Promise.all([claim("2", 1), claim("3", 0)]);
    await keeper.query("select pg_advisory_unlock(7)");
    keeper.release();

    expect(others.map(({ status }) => status)).toEqual(["completed", "completed"]);
    expect((await heldUp).status).toBe("completed");
  });

  // Planted: what the statement for all meets thrown to all, by the ledger and by the engine: all three were failed.
  it("S5 are completed though the database refuses those of one scope, which alone are told", async () => {
    await database.pool.query(
      `do $$ begin execute format('alter database %I set exclaim_test.forbids = yes', current_database()); end $$`,
    );
    const own = createExclaim({ database: await freshConnections() });
    onTestFinished(() => own.close());
    const pool = own.pool({ table: "voucher_item", ownerColumn: "user_id" });
    const ask = (claimant: string, campaign: number) =>
      pool.claim({ claimant, scope: { campaign_id: campaign } }, async ({ key }) => key);

    const outcomes = await Promise.all([ask("1", 0), ask("2", 2), ask("3", 1)]);

    expect(outcomes.map(({ status }) => status)).toEqual(["completed", "failed", "completed"]);
  });

  it("may be of a column that is an array", async () => {
    const outcomes = await Promise.all(
      ["1", "2"].map((claimant) => vouchers.claim({ claimant, scope: { tags: "{1,2}" } }, async () => "done")),
    );

    expect(outcomes).toEqual(Array(2).fill({ status: "completed", result: "done" }));
  });
});

async function freshConnections() {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on("error", () => {});
  onTestFinished(() => pool.end());
  return pool;
}
