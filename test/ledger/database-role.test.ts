import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import {
  type LedgerDatabase,
  ledgerDatabase,
  openConnections,
  type TestLedger,
  testLedger,
  thrownBy,
} from "./ledger-database.ts";

let database: LedgerDatabase;
let role = "";
let tables = 0;

/** What an application's role needs, and all it needs: no DELETE, no DDL, no ownership. `%s` is the table of the pool. */
const GRANTS = {
  pool: "grant select on %s to %r",
  owner: "grant update (user_id, status) on %s to %r",
  schema: "grant usage on schema exclaim to %r",
  claims: "grant select, insert, update on exclaim.claims to %r",
  released: "grant select, insert, update on exclaim.released_tokens to %r",
  outbox: "grant insert on exclaim.outbox to %r",
  outboxId: "grant select (id) on exclaim.outbox to %r",
};

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(async () => {
  await database.drop();
});

beforeEach(async () => {
  tables += 1;
  role = `exclaim_app_${process.pid}_${tables}`;
  await database.sql.query(`create role ${role}`);
  return async () => {
    await database.sql.query(`drop owned by ${role}`);
    await database.sql.query(`drop role ${role}`);
  };
});

describe("a role with the least rights", () => {
  it("claims, resumes, replays, renews, releases, finds, writes under the fence and publishes", async () => {
    const pool = await createTable();
    await grantAllBut([], pool);
    const app = asRole();

    const first = await app.claimed(pool, "7", { scope: { campaign_id: 1 } });
    const renewed = await app.ledger.renew([first.claim], 30_000);
    const failed = await app.ledger.fail([first.claim]);
    const resumed = await app.claimed(pool, "7", { scope: { campaign_id: 1 } });
    const found = await app.ledger.find(pool, { campaign_id: 1 }, "7");
    const released = await app.ledger.release(pool, [resumed.claim]);
    const second = await app.claimed(pool, "8");
    const published = await app.ledger.transact(
      second.claim,
      (tx) => tx.publish("voucher.assigned", { userId: 8 }),
      () => '"done"',
    );
    const replayed = await app.claim(pool, "8");
    const third = await app.claimed(pool, "9");
    const completed = await app.ledger.complete([{ claim: third.claim, result: undefined }]);
    const empty = await app.claim(pool, "10");

    expect([renewed, failed, released, completed]).toEqual([["done"], ["done"], ["done"], ["done"]]);
    expect(resumed.claim).toEqual({ ...first.claim, token: 2n });
    expect(found).toMatchObject({ status: "held", claim: resumed.claim });
    expect(await database.column("select id from exclaim.outbox where claimant = '8'")).toEqual([published]);
    expect([replayed, empty]).toEqual([{ status: "replayed", result: '"done"' }, { status: "empty" }]);
  });

  it("refuses rows that are somebody's though they look free", async () => {
    const pool = await createTable();
    await grantAllBut([], pool);
    const app = asRole();
    const { claim } = await app.claimed(pool, "7");
    await database.sql.query(`update ${pool.table} set user_id = null, status = 'free' where id = ${claim.resourceId}`);

    const answers = await app.claimMany(pool, ["8", "9"]);

    const other = claim.resourceId === "1" ? "2" : "1";
    expect(answers.map((answer) => answer.status).toSorted()).toEqual(["claimed", "empty"]);
    expect(asClaimed(answers.find((answer) => answer.status === "claimed")).claim.resourceId).toBe(other);
  });

  it("may call migrate() where everything is applied already, as each process does at its start", async () => {
    await database.sql.query(`grant usage on schema exclaim to ${role}; grant select on exclaim.applied_migrations to ${role}`);

    const applied = await migrate(connections(), systemClock, "exclaim");

    expect(applied).toEqual([]);
  });

  it("is told CONFIG_INVALID by migrate() where there is something to apply", async () => {
    const error = await thrownBy(migrate(connections(), systemClock, "elsewhere"));

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("permission denied") });
  });
});

describe("a role without", () => {
  const claiming = (app: TestLedger, pool: PoolDefinition) => app.claim(pool, "7");
  const missing: [
    right: keyof typeof GRANTS,
    use: (app: TestLedger, pool: PoolDefinition) => Promise<unknown>,
    names: string,
  ][] = [
    ["pool", claiming, "roles_"],
    ["owner", claiming, "roles_"],
    ["schema", claiming, "schema exclaim"],
    ["claims", claiming, "table claims"],
    ["released", claiming, "table released_tokens"],
    [
      "outbox",
      async (app, pool) => app.ledger.transact((await app.claimed(pool, "7")).claim, (tx) => tx.publish("topic", null)),
      "table outbox",
    ],
  ];
  for (const [right, use, names] of missing) {
    it(`"${GRANTS[right]}" is told CONFIG_INVALID and what it may not`, async () => {
      const pool = await createTable();
      await grantAllBut([right], pool);

      const error = await thrownBy(use(asRole(), pool));

      expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(`permission denied.*${names}`) });
    });
  }

  it("a right claims again once it is granted, with the same definition", async () => {
    const pool = await createTable();
    await grantAllBut(["pool", "claims"], pool);
    const app = asRole();
    await thrownBy(app.claim(pool, "7"));
    await grantAllBut([], pool);

    const answer = await app.claim(pool, "7");

    expect(answer.status).toBe("claimed");
  });
});

describe("a table with row security", () => {
  it("gives a role only rows its policy lets it see", async () => {
    const pool = await createTable();
    await grantAllBut([], pool);
    await database.sql.query(`alter table ${pool.table} enable row level security`);
    await database.sql.query(`create policy one on ${pool.table} to ${role} using (id = 2) with check (true)`);

    const answers = await asRole().claimMany(pool, ["7", "8"]);

    expect(asClaimed(answers[0]).claim.resourceId).toBe("2");
    expect(answers[1]).toEqual({ status: "empty" });
  });

  it("refuses the claim of a row that its policy does not let the role write", async () => {
    const pool = await createTable();
    await grantAllBut([], pool);
    await database.sql.query(`alter table ${pool.table} enable row level security`);
    await database.sql.query(`create policy seen on ${pool.table} to ${role} using (true) with check (user_id is null)`);

    const error = await thrownBy(asRole().claim(pool, "7"));

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("row-level security") });
    expect(await database.column("select 1 from exclaim.claims where pool = $1", [`public.${pool.table}`])).toEqual([]);
  });
});

/** Two free rows of campaign 1. */
async function createTable(): Promise<PoolDefinition> {
  const table = `roles_${tables}`;
  await database.sql.query(`create table ${table} (
    id int generated always as identity primary key, user_id bigint, status text default 'free', campaign_id int default 1)`);
  await database.sql.query(`insert into ${table} (status) values ('free'), ('free')`);
  return { table, ownerColumn: "user_id", where: { status: "free" }, set: { status: "taken" } };
}

async function grantAllBut(left: readonly (keyof typeof GRANTS)[], pool: PoolDefinition): Promise<void> {
  for (const [right, grant] of Object.entries(GRANTS)) {
    if (left.some((name) => name === right)) continue;
    await database.sql.query(grant.replace("%s", pool.table).replace("%r", role));
  }
}

/** Sessions that act as the role: it needs no way to log in. */
function connections() {
  return openConnections({ connectionString: database.url, options: `-c role=${role}` });
}

function asRole(): TestLedger {
  return testLedger(connections());
}
