import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { recordsIn } from "../ledger/dead-letters-database.ts";
import { openConnections } from "../ledger/ledger-database.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";

let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  await migrate(database.pool, systemClock, "exclaim");
});

afterAll(() => database.drop());

describe("dead letters that exclaim notes in PostgreSQL", () => {
  // Planted: NULs kept, ids not cut: the database refused them, and their messages would come back for ever.
  it("are recorded whatever is in them, and with them those that share their call", async () => {
    const odd = [
      "\0",
      "a\0b",
      "\ud83d",
      "x".repeat(1_000_000),
      "é".repeat(300),
      "💥".repeat(300),
      "'; --",
      "{}",
      "NULL",
      "\\",
      " ",
    ];
    const exclaim = openExclaim();
    const [pool, resource] = [exclaim.pool({ table: "voucher\0_item" }), exclaim.resource("order")];

    await Promise.all(
      [...odd, "plain"].flatMap((text) => [
        pool.noteDeadLetter({ queue: `odd ${text}`, messageId: text, claimant: text, error: new Error(text) }),
        resource.noteDeadLetter({ queue: `odd ${text}`, claimant: text, error: text }),
      ]),
    );

    const found = (await recordsIn(database.pool)).filter(({ queue }) => queue.startsWith("odd"));
    expect(found).toHaveLength(24);
    expect(found.every(({ times }) => times === 1)).toBe(true);
    expect(found.filter(({ pool }) => pool === "voucher_item")).toHaveLength(12);
    expect(found.filter(({ resource }) => resource === "order")).toHaveLength(12);
    expect(found.filter(({ reason }) => reason === "plain")).toHaveLength(2);
  });

  it("are one record of a message that two processes give up at once, counted by both", async () => {
    const pools = [openExclaim(), openExclaim()].map((exclaim) => exclaim.pool({ table: "voucher_item" }));

    await Promise.all(
      Array.from({ length: 200 }, (_, turn) =>
        pools.map((pool) => pool.noteDeadLetter({ queue: "both", messageId: `m-${turn % 20}`, error: new Error("boom") })),
      ).flat(),
    );

    const found = (await recordsIn(database.pool)).filter(({ queue }) => queue === "both");
    expect(found.map(({ times }) => times)).toEqual(Array(20).fill(20));
  });

  it("are DATABASE_UNREACHABLE while the database is away, and recorded once it is back, by the same exclaim", async () => {
    const proxy = await startCutProxy(database.url);
    onTestFinished(() => proxy.close());
    const pool = openExclaim(proxy.url).pool({ table: "voucher_item" });
    const note = { queue: "away", messageId: "m-1", error: new Error("boom") };

    proxy.cut();
    await expect(pool.noteDeadLetter(note)).rejects.toMatchObject({ code: "DATABASE_UNREACHABLE" });
    const before = (await recordsIn(database.pool)).filter(({ queue }) => queue === "away");
    proxy.heal();
    await pool.noteDeadLetter(note);

    expect(before).toEqual([]);
    expect((await recordsIn(database.pool)).filter(({ queue }) => queue === "away")).toMatchObject([{ times: 1 }]);
  });

  // Planted: a new note at each try: times was 2.
  it("are counted once when an answer is lost, and the caller never learns of it", async () => {
    const proxy = await startCutProxy(database.url);
    onTestFinished(() => proxy.close());
    const pool = openExclaim(proxy.url).pool({ table: "voucher_item" });

    const lost = proxy.loseAnswer("dead_letters");
    await pool.noteDeadLetter({ queue: "lost", messageId: "m-1", error: new Error("boom") });
    await lost;

    expect((await recordsIn(database.pool)).filter(({ queue }) => queue === "lost")).toMatchObject([{ times: 1 }]);
  });

  it("are SCHEMA_OUTDATED in a schema that was never migrated", async () => {
    const exclaim = createExclaim({ database: openConnections({ connectionString: database.url }), schema: "never" });

    const noting = exclaim.resource("order").noteDeadLetter({ queue: "q", error: new Error("boom") });

    await expect(noting).rejects.toMatchObject({
      code: "SCHEMA_OUTDATED",
      message: expect.stringContaining("call exclaim.migrate()"),
    });
  });
});

describe("giving up a message", () => {
  // Else it would come back for ever: a queue adapter gives up its claim before the message may go.
  it("is done at once when its claimant or scope can name no claim, since it does not fit its column", async () => {
    await database.pool.query("create table seat (id int primary key, owner int, hall int)");
    const seats = openExclaim().pool({ table: "seat", ownerColumn: "owner" });
    const message = { messageId: "m-1", onGiveUp: "release" } as const;

    const refused = await seats.claim({ claimant: "seven", messageId: "m-1" }, async () => {});
    await seats.giveUp({ ...message, claimant: "seven" });
    await seats.giveUp({ ...message, claimant: "7", scope: { hall: "first" } });

    expect(refused).toMatchObject({ status: "failed", error: { code: "CLAIMANT_INVALID" } });
  });

  // Planted: null for whatever the database says of the statement. The message was dead-lettered, and its row stayed taken.
  it("fails when the database does not look, so that it is tried again", async () => {
    await database.pool.query("create table desk (id int primary key, owner int)");
    await database.pool.query("insert into desk values (1)");
    const desks = openExclaim().pool({ table: "desk", ownerColumn: "owner" });
    const message = { claimant: "7", messageId: "m-1" };
    await desks.claim(message, () => Promise.reject(new Error("no")));
    await database.pool.query(`alter table exclaim.claims rename to kept_claims;
      create function refuse() returns boolean language plpgsql as
        $$ begin raise exception 'prepared statement "s1" does not exist' using errcode = '26000'; end $$;
      create view exclaim.claims as select * from exclaim.kept_claims where refuse()`);

    const refused = await desks.giveUp({ ...message, onGiveUp: "release" }).catch((error) => error);
    await database.pool.query("drop view exclaim.claims; alter table exclaim.kept_claims rename to claims");
    await desks.giveUp({ ...message, onGiveUp: "release" });

    expect(refused).toMatchObject({ code: "CLAIM_REFUSED" });
    expect((await database.pool.query("select owner from desk")).rows).toEqual([{ owner: null }]);
  });
});

/** One process's exclaim over connections of its own, ended with the test. */
function openExclaim(url = database.url): Exclaim {
  return createExclaim({ database: openConnections({ connectionString: url }) });
}
