import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { letterOf } from "../conformance/dead-letters-conformance.ts";
import { deadLettersOver, holding, recordsIn } from "./dead-letters-database.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, thrownBy } from "./ledger-database.ts";

/** What an application's role needs, and all it needs: it forgets nothing. */
const GRANTS = {
  schema: "grant usage on schema exclaim to %r",
  table: "grant select, insert, update on exclaim.dead_letters to %r",
};

let database: LedgerDatabase;
let roles = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

beforeEach(() => database.sql.query("truncate exclaim.dead_letters"));

describe("forget_dead_letters()", () => {
  // Planted: counted from first_at; the bound left out; both failed here.
  it("forgets what was last noted longer ago, the bound's number at a time, and says how many", async () => {
    await note("old", "old too", "old as well", "noted again", "young");
    await database.sql.query("update exclaim.dead_letters set first_at = first_at - interval '2 days'");
    await database.sql.query("update exclaim.dead_letters set last_at = first_at where message_id <> 'young'");
    await note("noted again");

    const counts = [await forget("1 day", 2), await forget("1 day", 2), await forget("1 day", 2)];

    expect(counts).toEqual([2, 1, 0]);
    expect((await ids()).toSorted()).toEqual(["noted again", "young"]);
  });

  // Planted: without `strict`, null was taken for no age at all and everything was forgotten.
  it("forgets nothing when told null, and everything when told no age at all", async () => {
    await note("a", "b");

    const [told] = await database.column("select exclaim.forget_dead_letters(null)");
    const left = await ids();
    const all = await forget("0 s");

    expect([told, left, all]).toEqual([null, ["a", "b"], 2]);
  });

  // Planted: `for update skip locked` left out: it waited for the one who notes.
  it("leaves a letter that is being noted, and waits for nobody", async () => {
    await note("busy", "rests");
    await database.sql.query("update exclaim.dead_letters set last_at = last_at - interval '2 days'");
    const noting = await holding(
      database.sql,
      "update exclaim.dead_letters set last_at = clock_timestamp() where message_id = 'busy'",
    );

    const forgotten = await Promise.race([forget("1 day"), delay(5_000, "it waits")]);
    await noting.commit();

    expect([forgotten, await ids()]).toEqual([1, ["busy"]]);
  });

  it("lets a message come back as a first one", async () => {
    await note("a");
    await note("a");
    await forget("0 s");

    await note("a");

    expect(await recordsIn(database.sql)).toMatchObject([{ messageId: "a", times: 1 }]);
  });
});

describe("the table of dead letters", () => {
  it("is read newest first by an index, one queue at a time, also where there are many", async () => {
    await database.sql.query(`insert into exclaim.dead_letters (note, queue, message_id, pool, code, reason)
      select i, 'queue ' || i % 50, i, 'p', 'c', 'r' from generate_series(1, 20000) i`);
    await database.sql.query("analyze exclaim.dead_letters");

    const { rows } = await database.sql.query(
      "explain (format json) select * from exclaim.dead_letters where queue = 'queue 7' order by last_at desc limit 20",
    );

    expect(JSON.stringify(rows)).toContain("dead_letters_newest");
    expect(JSON.stringify(rows)).not.toMatch(/"Sort"|Seq Scan/);
  });

  it.each([
    ["names neither pool nor resource", [null, null, "r"]],
    ["names both", ["p", "r", "r"]],
    ["has a reason of 1,001 characters", ["p", null, "x".repeat(1_001)]],
  ])("refuses a row that %s", async (_what, values) => {
    const sql =
      "insert into exclaim.dead_letters (note, queue, code, pool, resource, reason) values ('n', 'q', 'c', $1, $2, $3)";

    await expect(database.sql.query(sql, values)).rejects.toMatchObject({ code: "23514" });
  });
});

describe("a role with the least rights", () => {
  it("notes dead letters, the first time and again, with ids and without", async () => {
    const role = await createRole();

    for (let times = 0; times < 2; times += 1) await role.deadLetters.record([letterOf(), letterOf({ messageId: null })]);

    expect((await recordsIn(database.sql)).map(({ times }) => times).toSorted()).toEqual([1, 1, 2]);
  });

  it("may not forget them", async () => {
    const role = await createRole();

    const forgetting = role.connections.query("select exclaim.forget_dead_letters('0 s')");

    await expect(forgetting).rejects.toMatchObject({ code: "42501" });
  });

  it.each([
    ["schema", "schema exclaim"],
    ["table", "table dead_letters"],
  ] as const)("is told CONFIG_INVALID without the right to the %s, and what it may not", async (right, names) => {
    const role = await createRole(right);

    const error = await thrownBy(role.deadLetters.record([letterOf()]));

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(`permission denied.*${names}`) });
  });
});

async function note(...messageIds: readonly string[]): Promise<void> {
  await deadLettersOver(database.sql).record(messageIds.map((messageId) => letterOf({ messageId })));
}

async function ids(): Promise<unknown[]> {
  return (await recordsIn(database.sql)).map(({ messageId }) => messageId);
}

async function forget(olderThan: string, atMost?: number): Promise<number> {
  const limit = atMost === undefined ? "" : `, ${atMost}`;
  const [count] = await database.column(`select exclaim.forget_dead_letters('${olderThan}'${limit})::int`);
  return Number(count);
}

/** A role with the grants but one, for this test. Sessions act as it: it needs no way to log in. */
async function createRole(left?: keyof typeof GRANTS) {
  roles += 1;
  const role = `exclaim_letters_${process.pid}_${roles}`;
  await database.sql.query(`create role ${role}`);
  onTestFinished(async () => {
    await database.sql.query(`drop owned by ${role}`);
    await database.sql.query(`drop role ${role}`);
  });
  for (const [right, grant] of Object.entries(GRANTS)) {
    if (right !== left) await database.sql.query(grant.replace("%r", role));
  }
  const connections = openConnections({ connectionString: database.url, options: `-c role=${role}` });
  return { connections, deadLetters: deadLettersOver(connections) };
}
