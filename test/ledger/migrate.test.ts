import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ExclaimError } from "../../src/errors.ts";
import type { ClaimRef } from "../../src/ledger/ledger.ts";
import { migrate, readMigrations } from "../../src/ledger/migrate.ts";
import { letterOf } from "../conformance/dead-letters-conformance.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { deadLettersOver, recordsIn } from "./dead-letters-database.ts";
import { openConnections, type TestLedger, testLedger, thrownBy } from "./ledger-database.ts";

const MIGRATIONS = [
  "0001-claims-ledger.sql",
  "0002-outbox.sql",
  "0003-leases.sql",
  "0004-locks.sql",
  "0005-dead-letters.sql",
  "0006-share-leases.sql",
  "0007-imports.sql",
  "0008-outbox-dispatch.sql",
];
const POOL = { table: "public.voucher", ownerColumn: "user_id" };

let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  await database.pool.query("create table voucher (id int primary key, user_id bigint)");
  await database.pool.query("insert into voucher select generate_series(1, 1000)");
});

afterAll(() => database.drop());

describe("migrate()", () => {
  it("applies the migrations in their order and says which; called again it does nothing", async () => {
    const first = await migrate(database.pool, systemClock, "once");
    const again = await migrate(database.pool, systemClock, "once");

    const recorded = await database.pool.query("select name from once.applied_migrations order by applied_at, name");
    expect((await readMigrations()).map(({ name }) => name)).toEqual(expect.arrayContaining(MIGRATIONS));
    expect(first).toEqual(expect.arrayContaining(MIGRATIONS));
    expect(again).toEqual([]);
    expect(recorded.rows.map(({ name }) => name)).toEqual(first);
  });

  for (const isolation of ["read committed", "repeatable read", "serializable"]) {
    it(`lets one of 20 at once apply them, and the others find it done, with connections that default to ${isolation}`, async () => {
      const schema = `crowd ${isolation}`;
      const options = `-c default_transaction_isolation=${isolation.replace(" ", "\\ ")}`;
      const pools = Array.from({ length: 20 }, () => openConnections({ connectionString: database.url, options, max: 1 }));

      const applied = await Promise.all(pools.map((pool) => migrate(pool, systemClock, schema)));

      expect(applied.filter((names) => names.length > 0)).toEqual([await migrationNames()]);
      expect((await claimIn(schema)).status).toBe("claimed");
    });
  }

  for (const schema of ["Mixed Case", 'we"ird', "with.dot", "quote's; drop table voucher; --", "$$", "Жетон"]) {
    it(`may be given the schema ${JSON.stringify(schema)}, in which the ledger then works`, async () => {
      await migrate(database.pool, systemClock, schema);
      const ledger = testLedger(database.pool, { schema });

      const { claim } = await ledger.claimed(POOL, `${claimants()}`);
      const released = await ledger.ledger.release(POOL, [claim]);
      const again = await ledger.claimed(POOL, claim.claimant, { pick: claim.resourceId });
      await ledger.ledger.transact(
        again.claim,
        (tx) => tx.publish("topic", 1),
        () => "1",
      );
      await deadLettersOver(database.pool, { schema }).record([letterOf()]);

      expect(released).toEqual(["done"]);
      expect(again.claim.token).toBe(2n);
      const quoted = `"${schema.replaceAll('"', '""')}"`;
      expect((await database.pool.query(`select topic from ${quoted}.outbox`)).rows).toEqual([{ topic: "topic" }]);
      expect((await database.pool.query(`select ${quoted}.forget_dead_letters('0 s')::int as gone`)).rows).toEqual([
        { gone: 1 },
      ]);
    });
  }

  it("makes ledgers side by side that know nothing of each other", async () => {
    for (const schema of ["left", "right"]) await migrate(database.pool, systemClock, schema);
    const [left, right] = [testLedger(database.pool, { schema: "left" }), testLedger(database.pool, { schema: "right" })];
    const claimant = claimants();
    const { claim } = await left.claimed(POOL, claimant);

    const elsewhere = [
      await right.ledger.find(POOL, {}, claimant),
      await right.ledger.complete([{ claim, result: undefined }]),
    ];
    const other = await right.claimed(POOL, claimant);

    expect(elsewhere).toEqual([null, ["lost"]]);
    expect(other.claim.resourceId).not.toBe(claim.resourceId);
  });

  it("leaves the search path of its connection as it was", async () => {
    const one = openConnections({ connectionString: database.url, max: 1 });
    const before = await one.query("show search_path");
    await migrate(one, systemClock, "brief");

    const after = await one.query("show search_path");

    expect(after.rows).toEqual(before.rows);
  });
});

describe("migrate() by a role that owns nothing", () => {
  it("fills a schema it finds and may write in, though it may not create one", async () => {
    const role = await createRole();
    await database.pool.query(`create schema prepared; grant usage, create on schema prepared to ${role.name}`);

    const refused = await thrownBy(migrate(role.pool, systemClock, "unprepared"));
    const applied = await migrate(role.pool, systemClock, "prepared");

    expect(refused).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("permission denied for database"),
    });
    expect(applied).toEqual(await migrationNames());
  });

  it("is told CONFIG_INVALID in a schema it may not write in, and nothing is left of the attempt", async () => {
    const role = await createRole();
    await database.pool.query(`create schema closed; grant usage on schema closed to ${role.name}`);

    const refused = await thrownBy(migrate(role.pool, systemClock, "closed"));

    expect(refused).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("permission denied for schema closed"),
    });
    expect(await tablesOf("closed")).toEqual([]);
  });
});

describe("a migration that fails", () => {
  it("leaves nothing behind, says what was in the way, and passes once it is gone", async () => {
    await database.pool.query("create schema taken; create table taken.outbox (mail text)");

    const refused = await thrownBy(migrate(database.pool, systemClock, "taken"));
    const left = await tablesOf("taken");
    await database.pool.query("drop table taken.outbox");
    const applied = await migrate(database.pool, systemClock, "taken");

    expect(refused).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining('"outbox" already exists') });
    expect(refused.message).not.toContain("call exclaim.migrate()");
    expect(left).toEqual(["outbox"]);
    expect(applied).toEqual(await migrationNames());
  });

  it("is refused for a name that PostgreSQL keeps for itself or cuts", async () => {
    const errors = [
      await thrownBy(migrate(database.pool, systemClock, "pg_exclaim")),
      await thrownBy(migrate(database.pool, systemClock, "x".repeat(64))),
      await thrownBy(migrate(database.pool, systemClock, "")),
    ];

    expect(errors.map(({ code }) => code)).toEqual(["CONFIG_INVALID", "CONFIG_INVALID", "CONFIG_INVALID"]);
  });

  it("leaves nothing behind when its connection is ended, and says DATABASE_UNREACHABLE", async () => {
    const keeper = await database.pool.connect();
    await keeper.query("select pg_advisory_lock(hashtextextended('exclaim migrate cut', 0))");
    const one = openConnections({ connectionString: database.url, max: 1, application_name: "cut off" });
    const migrating = thrownBy(migrate(one, systemClock, "cut"));
    await expect
      .poll(
        async () =>
          (
            await keeper.query(
              "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cut off' and wait_event = 'advisory'",
            )
          ).rowCount,
      )
      .toBe(1);

    const error = await migrating;

    await keeper.query("select pg_advisory_unlock_all()");
    keeper.release();
    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(await tablesOf("cut")).toEqual([]);
    expect(await migrate(one, systemClock, "cut")).toEqual(await migrationNames());
  });
});

describe("a ledger whose schema", () => {
  const uses: [what: string, use: (ledger: TestLedger, claim: ClaimRef) => Promise<unknown>][] = [
    ["claim", (ledger) => ledger.claim(POOL, claimants())],
    ["complete", ({ ledger }, claim) => ledger.complete([{ claim, result: undefined }])],
    ["fail", ({ ledger }, claim) => ledger.fail([claim])],
    ["release", ({ ledger }, claim) => ledger.release(POOL, [claim])],
    ["renew", ({ ledger }, claim) => ledger.renew([claim], 30_000)],
    ["find", ({ ledger }) => ledger.find(POOL, {}, "7")],
    ["transact", ({ ledger }, claim) => ledger.transact(claim, async () => {})],
  ];

  for (const [what, use] of uses) {
    it(`was never migrated says so at ${what}, and to call migrate()`, async () => {
      const claim: ClaimRef = { pool: "public.voucher", scope: "{}", claimant: "7", resourceId: "1", token: 1n };

      const error: ExclaimError = await thrownBy(use(testLedger(database.pool, { schema: "never" }), claim));

      expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", message: expect.stringContaining("call exclaim.migrate()") });
    });
  }

  it("was never migrated works once it is, without being opened anew", async () => {
    const ledger = testLedger(database.pool, { schema: "belated" });
    await thrownBy(ledger.claim(POOL, claimants()));
    await migrate(database.pool, systemClock, "belated");

    const answer = await ledger.claim(POOL, claimants());

    expect(answer.status).toBe("claimed");
  });

  it("is of an older release, without the outbox, says so when something is published", async () => {
    await migrate(database.pool, systemClock, "older");
    await database.pool.query("drop table older.outbox");
    const ledger = testLedger(database.pool, { schema: "older" });
    const { claim } = await ledger.claimed(POOL, claimants());

    const error = await thrownBy(ledger.ledger.transact(claim, (tx) => tx.publish("topic", 1)));

    expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", message: expect.stringContaining("call exclaim.migrate()") });
  });

  it("is of an older release, without dead letters, says so, and records them once it is migrated, by that migration alone", async () => {
    await migrate(database.pool, systemClock, "letterless");
    await database.pool.query(`drop table letterless.dead_letters; drop function letterless.forget_dead_letters;
      delete from letterless.applied_migrations where name = '0005-dead-letters.sql'`);
    const deadLetters = deadLettersOver(database.pool, { schema: "letterless" });
    const letter = letterOf();

    const error = await thrownBy(deadLetters.record([letter]));
    const claimed = await claimIn("letterless");
    const applied = await migrate(database.pool, systemClock, "letterless");
    await deadLetters.record([letter]);

    expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", message: expect.stringContaining("call exclaim.migrate()") });
    expect([claimed.status, applied]).toEqual(["claimed", ["0005-dead-letters.sql"]]);
    expect(await recordsIn(database.pool, "letterless")).toMatchObject([{ messageId: letter.messageId, times: 1 }]);
  });
});

async function migrationNames(): Promise<string[]> {
  return (await readMigrations()).map(({ name }) => name);
}

async function claimIn(schema: string) {
  return testLedger(database.pool, { schema }).claim(POOL, claimants());
}

let claimantCount = 0;

/** A claimant nobody else is. */
function claimants(): string {
  claimantCount += 1;
  return String(claimantCount);
}

async function tablesOf(schema: string): Promise<string[]> {
  const { rows } = await database.pool.query("select tablename from pg_tables where schemaname = $1", [schema]);
  return rows.map(({ tablename }) => tablename);
}

let roles = 0;

async function createRole() {
  roles += 1;
  const name = `exclaim_migrating_${process.pid}_${roles}`;
  await database.pool.query(`create role ${name}`);
  onTestFinished(async () => {
    await database.pool.query(`drop owned by ${name}; drop role ${name}`);
  });
  return { name, pool: openConnections({ connectionString: database.url, options: `-c role=${name}` }) };
}
