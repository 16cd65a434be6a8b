import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { letterOf } from "../conformance/dead-letters-conformance.ts";
import { eventually } from "../support/eventually.ts";
import { freshDatabase } from "../support/postgres.ts";
import { deadLettersOver, holding, recordsIn } from "./dead-letters-database.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, thrownBy } from "./ledger-database.ts";
import { throughProxy } from "./through-proxy.ts";

/** What only the statement in question says. */
const SAID = 'insert into "exclaim".dead_letters';

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

beforeEach(() => database.sql.query("truncate exclaim.dead_letters"));

describe("dead letters whose answer is lost", () => {
  // Planted: `where d.note <> excluded.note` left out: times was 2. `on conflict (note) ... do nothing` left out: refused as a duplicate.
  it("D3 are recorded, and neither counted twice nor written twice when they are recorded again", async () => {
    const { deadLetters, proxy } = await proxied();
    const letters = [letterOf(), letterOf({ messageId: null }), letterOf({ messageId: "other" })];

    void proxy.loseAnswer(SAID);
    const error = await thrownBy(deadLetters.record(letters));
    const made = await recordsIn(database.sql);
    await deadLetters.record(letters);

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(made.map(({ times }) => times)).toEqual([1, 1, 1]);
    expect(await recordsIn(database.sql)).toEqual(made);
  });

  it("D3 are recorded by the second call when the first never reached the server", async () => {
    const { deadLetters, proxy } = await proxied();
    const letters = [letterOf(), letterOf({ messageId: null })];

    void proxy.cutBefore(SAID);
    const error = await thrownBy(deadLetters.record(letters));
    const before = await recordsIn(database.sql);
    await deadLetters.record(letters);

    expect([error.code, before]).toEqual(["DATABASE_UNREACHABLE", []]);
    expect((await recordsIn(database.sql)).map(({ times }) => times)).toEqual([1, 1]);
  });

  it("are DATABASE_UNREACHABLE within the time limit when the connection stays silent", async () => {
    const { deadLetters, proxy } = await proxied(300);

    proxy.hang();
    const error = await thrownBy(deadLetters.record([letterOf()]));
    proxy.heal();

    expect(error.code).toBe("DATABASE_UNREACHABLE");
  });

  // The lost call is at work on the server, behind a row that somebody holds, when the same is asked again.
  it("D3 are counted once though the first call is still at work when they are recorded again", async () => {
    const letters = [letterOf({ messageId: "held" }), letterOf({ messageId: "new" }), letterOf({ messageId: null })];
    await deadLettersOver(database.sql).record([letterOf({ messageId: "held" })]);
    const held = await holding(database.sql, "select 1 from exclaim.dead_letters for update");
    const one = deadLettersOver(openConnections({ connectionString: database.url }));
    const other = deadLettersOver(openConnections({ connectionString: database.url }));

    const calls = [one.record(letters), other.record(letters)];
    await eventually(async () => expect(await waiting()).toBe(2));
    await held.commit();
    await Promise.all(calls);

    const found = (await recordsIn(database.sql)).map(({ messageId, times }) => [messageId, times]);
    expect(found.toSorted()).toEqual(
      [
        [null, 1],
        ["held", 2],
        ["new", 1],
      ].toSorted(),
    );
  });
});

describe("dead letters of two processes", () => {
  // Planted: a message that is known left as it is (`where false`): times was 1.
  it("D5 about one message at once are one record that counts both", async () => {
    const processes = [1, 2].map(() => deadLettersOver(openConnections({ connectionString: database.url })));

    for (let turn = 0; turn < 25; turn += 1) {
      const messageId = `m-${turn}`;
      await Promise.all(processes.map((process) => process.record([letterOf({ messageId })])));
    }

    expect((await recordsIn(database.sql)).map(({ times }) => times)).toEqual(Array(25).fill(2));
  });

  for (const isolation of ["repeatable read", "serializable"]) {
    // Planted: `server.run` in place of `runTransient`: refused as DATABASE_UNREACHABLE.
    it(`D5 are recorded though their connections default to ${isolation}`, async () => {
      const options = `-c default_transaction_isolation=${isolation.replace(" ", "\\ ")}`;
      await deadLettersOver(database.sql).record([letterOf()]);
      const held = await holding(database.sql, "update exclaim.dead_letters set times = times + 1");
      const recording = deadLettersOver(openConnections({ connectionString: database.url, options })).record([letterOf()]);
      await eventually(async () => expect(await waiting()).toBe(1));

      await held.commit();
      await recording;

      expect(await recordsIn(database.sql)).toMatchObject([{ times: 3 }]);
    });
  }
});

describe("a database that cannot record a dead letter", () => {
  it("is DATABASE_UNREACHABLE when nobody listens, and the error tells no password", async () => {
    const connectionString = "postgres://app:s3cret@127.0.0.1:1/exclaim";

    const error = await thrownBy(deadLettersOver(openConnections({ connectionString })).record([letterOf()]));

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(JSON.stringify([error.message, error.details, String(error.cause)])).not.toContain("s3cret");
  });

  it("is DATABASE_UNREACHABLE when its pool of connections is exhausted, and records once one is back", async () => {
    const connections = openConnections({ connectionString: database.url, max: 1 });
    const deadLetters = deadLettersOver(connections, { statementTimeoutMs: 300 });
    const held = await connections.connect();

    const error = await thrownBy(deadLetters.record([letterOf()]));
    held.release();
    await eventually(() => expect(connections.waitingCount).toBe(0));
    await deadLetters.record([letterOf()]);

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(await recordsIn(database.sql)).toHaveLength(1);
  });

  it("is DATABASE_UNREACHABLE as a standby that takes no writes", async () => {
    const options = "-c default_transaction_read_only=on";

    const error = await thrownBy(
      deadLettersOver(openConnections({ connectionString: database.url, options })).record([letterOf()]),
    );

    expect(error).toMatchObject({ code: "DATABASE_UNREACHABLE", message: expect.stringContaining("read-only transaction") });
  });

  it("is CLAIM_REFUSED when the database refuses one of them, and the letters before it are recorded", async () => {
    await database.sql.query("alter table exclaim.dead_letters add constraint picky check (reason <> 'refused by you')");
    onTestFinished(async () => void (await database.sql.query("alter table exclaim.dead_letters drop constraint picky")));
    const letters = [letterOf({ messageId: "a" }), letterOf({ messageId: "b" }), letterOf({ reason: "refused by you" })];

    const error = await thrownBy(deadLettersOver(database.sql).record(letters));

    expect(error).toMatchObject({ code: "CLAIM_REFUSED", message: expect.stringContaining("picky") });
    expect((await recordsIn(database.sql)).map(({ messageId }) => messageId)).toEqual(["a", "b"]);
  });
});

describe("a database whose encoding lacks a letter's characters", () => {
  // Planted: no second try in escapes: refused, and the message would come back for ever.
  it("D6 records that letter in escapes, within the bound of a reason, and the others of its batch as they are", async () => {
    const latin = await latinDatabase();
    const letters = [
      letterOf({ messageId: "é", reason: "déjà vu" }),
      letterOf({ messageId: "→", queue: "a→b", claimant: "💥", reason: "→".repeat(1_000) }),
      letterOf({ messageId: "plain" }),
    ];

    await deadLettersOver(latin).record(letters);
    await deadLettersOver(latin).record(letters);

    expect(await recordsIn(latin)).toMatchObject([
      { messageId: "é", reason: "déjà vu", times: 1 },
      {
        messageId: "\\u2192",
        queue: "a\\u2192b",
        claimant: "\\ud83d\\udca5",
        reason: "\\u2192".repeat(167).slice(0, 1_000),
        times: 1,
      },
      { messageId: "plain", times: 1 },
    ]);
  });
});

/** How many sessions wait for a lock of another. */
async function waiting(): Promise<unknown> {
  const sql = `select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    and query like '%dead_letters%'`;
  return (await database.column(sql))[0];
}

async function proxied(statementTimeoutMs = 5_000) {
  const { proxy, connections } = await throughProxy(database);
  return { proxy, deadLetters: deadLettersOver(connections, { statementTimeoutMs }) };
}

/** A database in LATIN1, beside one of its server's own encoding. */
async function latinDatabase() {
  const beside = await freshDatabase();
  const name = `latin_${process.pid}`;
  await beside.pool.query(`create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
  onTestFinished(async () => {
    await beside.pool.query(`drop database ${name} with (force)`);
    await beside.drop();
  });
  const url = new URL(beside.url);
  url.pathname = `/${name}`;
  const connections = openConnections({ connectionString: url.href });
  await migrate(connections, systemClock, "exclaim");
  return connections;
}
