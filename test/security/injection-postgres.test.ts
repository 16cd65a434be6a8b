import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { isExclaimError } from "../../src/errors.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { type LedgerDatabase, ledgerDatabase, recording } from "../ledger/ledger-database.ts";
import { databaseFingerprint } from "./database-fingerprint.ts";
import { hostileTexts } from "./hostile-texts.ts";

/** What refuses a text that a message brought. A retry would bring it again, so no code of an outage is among them. */
const REFUSALS = [
  "empty",
  "CLAIMANT_MISSING",
  "CLAIMANT_INVALID",
  "SCOPE_INVALID",
  "PICK_INVALID",
  "KEY_MISSING",
  "KEY_INVALID",
  "PAYLOAD_INVALID",
];

let database: LedgerDatabase;
let connections: pg.Pool;
let exclaim: Exclaim;
let vouchers: Pool;
/** Every statement that the library sent. */
let texts: readonly string[];

beforeAll(async () => {
  database = await ledgerDatabase();
  await database.sql.query(`
    create table canary (id text primary key, note text);
    insert into canary values ('canary', 'stands'), ('*', 'stands'), ('', 'stands');
    create table voucher_item (id text primary key, user_id text, campaign text, status text default 'free', code text);`);
  connections = new pg.Pool({ connectionString: database.url });
  connections.on("error", () => {});
  const recorded = recording(connections);
  texts = recorded.texts;
  exclaim = createExclaim({ database: recorded.database });
  vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
});

afterAll(async () => {
  await exclaim.close();
  await connections.end();
  await database.drop();
});

/** Whatever was sent: nothing but rows of the tables in question has changed, and no statement holds a text of a message. */
beforeEach(async () => {
  await database.sql.query(`delete from voucher_item; delete from exclaim.claims; delete from exclaim.released_tokens;
    delete from exclaim.outbox; delete from exclaim.leases`);
  const before = await databaseFingerprint(database.sql);
  const sent = texts.length;
  return async () => {
    expect(await databaseFingerprint(database.sql)).toBe(before);
    const marks = ["canary", "pg_sleep", "FLUSHALL", "<script>", "process.exit"];
    expect(texts.slice(sent).filter((sql) => marks.some((mark) => sql.includes(mark)))).toEqual([]);
  };
});

describe("texts that a message brings", () => {
  it("are claimants as they are, or refused", async () => {
    const given = hostileTexts(100);
    await stock(given.map((_, index) => ({ id: `${index}` })));

    const outcomes = await all(given, (claimant) => vouchers.claim({ claimant }, async (claim) => claim.claimant));

    const served = completed(given, outcomes);
    expect(outcomes.flatMap((outcome) => (outcome.status === "completed" ? [outcome.result] : []))).toEqual(served);
    expect(served.length).toBeGreaterThan(60);
    expect((await column("select user_id from voucher_item where user_id is not null")).toSorted()).toEqual(served.toSorted());
    expect((await column("select claimant from exclaim.claims")).toSorted()).toEqual(served.toSorted());
  });

  // Planted: a message's id handed to PostgreSQL as it is: one with a NUL byte was refused as a fault of the table.
  it("are the ids of messages, which refuse nobody's claim", async () => {
    const given = hostileTexts(100);
    await stock(given.map((_, index) => ({ id: `${index}` })));

    const outcomes = await all(given, (messageId, index) =>
      vouchers.claim({ claimant: `user-${index}`, messageId }, async () => "served"),
    );
    const orders = await all(given, (messageId, index) =>
      exclaim.resource("order").claim({ key: `${index}`, messageId }, async () => "served"),
    );

    expect(completed(given, outcomes)).toEqual(given);
    expect(completed(given, orders)).toEqual(given);
    const ids = await column("select message_id from exclaim.claims where message_id is not null");
    expect(new Set(ids).size).toBe(given.filter((text) => text !== "").length);
  });

  // Planted: the id compared as the broker gave it and not as it was stored: the row was never given back.
  it("are the ids of messages that are given up, whose rows are given back", async () => {
    const odd = ["a\0b", "\ud800", "x".repeat(70_000)];
    await stock(odd.map((_, index) => ({ id: `${index}` })));
    const fail = () => Promise.reject(new Error("the handler failed"));
    await all(odd, (messageId, index) => vouchers.claim({ claimant: `${index}`, messageId }, fail));

    await Promise.all(odd.map((messageId, index) => vouchers.giveUp({ claimant: `${index}`, messageId, onGiveUp: "release" })));

    expect(await column("select user_id from voucher_item")).toEqual([null, null, null]);
  });

  it("select rows of that very scope, and nobody else's", async () => {
    const given = hostileTexts(100);
    await stock([{ id: "other", campaign: "other" }, ...given.map((campaign, index) => ({ id: `${index}`, campaign }))]);

    const outcomes = await all(given, (campaign, index) =>
      vouchers.claim({ claimant: `user-${index}`, scope: { campaign } }, async (claim) => String(claim.row.campaign)),
    );

    const served = completed(given, outcomes);
    expect(outcomes.flatMap((outcome) => (outcome.status === "completed" ? [outcome.result] : []))).toEqual(served);
    expect(served.length).toBeGreaterThan(60);
    const taken = await column("select campaign from voucher_item where user_id is not null");
    expect(taken.toSorted()).toEqual(served.toSorted());
  });

  it("pick the row of that very id, or none", async () => {
    const given = hostileTexts(100).filter((text) => text.length < 2_000);
    await stock([{ id: "other" }, ...given.map((id) => ({ id }))]);

    const outcomes = await all(given, (pick, index) =>
      vouchers.claim({ claimant: `user-${index}`, pick }, async (claim) => claim.key),
    );

    const served = completed(given, outcomes);
    expect(outcomes.flatMap((outcome) => (outcome.status === "completed" ? [outcome.result] : []))).toEqual(served);
    const taken = await column("select id from voucher_item where user_id is not null");
    expect(taken.toSorted()).toEqual(served.toSorted());
  });

  it("are keys of a resource as they are, each its own", async () => {
    const given = hostileTexts(100);

    const outcomes = await all(given, (key) => exclaim.resource("order").claim({ key }, async (claim) => claim.key));

    const served = completed(given, outcomes);
    expect((await column("select key from exclaim.leases")).toSorted()).toEqual(served.toSorted());
  });

  // Planted: a topic with half a character stored as U+FFFD: two topics became one.
  it("are published, stored and replayed as they are, or refused", async () => {
    const given = hostileTexts(40);
    await stock(given.map((_, index) => ({ id: `${index}` })));

    const outcomes = await all(given, (topic, index) =>
      vouchers.claim({ claimant: `${index}` }, (claim) =>
        claim.complete(async (tx) => {
          await tx.publish(topic, { [topic]: topic });
          return { [topic]: topic };
        }),
      ),
    );

    const served = completed(given, outcomes);
    const { rows } = await database.sql.query("select topic, payload from exclaim.outbox");
    expect(rows.map(({ topic }) => topic).toSorted()).toEqual(served.toSorted());
    expect(rows.filter(({ topic, payload }) => JSON.stringify(payload) !== JSON.stringify({ [topic]: topic }))).toEqual([]);
    const replays = await Promise.all(given.map((_, index) => vouchers.claim({ claimant: `${index}` }, async () => ({}))));
    const results = replays.flatMap((replay) => (replay.status === "replayed" ? [replay.result] : []));
    expect(results).toEqual(served.map((topic) => JSON.parse(JSON.stringify({ [topic]: topic }))));
  });

  it("harm nobody who claims in the same statement", async () => {
    const given = hostileTexts(20);
    await stock(given.map((_, index) => ({ id: `${index}`, campaign: "ours" })));
    const scope = { campaign: "ours" };

    const outcomes = await Promise.all(
      given.flatMap((text, index) => [
        vouchers.claim({ claimant: text, messageId: text, scope: { campaign: text } }, async () => "theirs"),
        vouchers.claim({ claimant: `user-${index}`, messageId: text, scope }, async () => "served"),
      ]),
    );

    const innocent = outcomes.filter((_, index) => index % 2 === 1);
    expect(innocent.filter(({ status }) => status !== "completed")).toEqual([]);
  });

  it("keep their parts apart: no two resources and keys are one", async () => {
    const pairs = ["a:b c", "a b:c", "a b%3Ac", "a%3Ab c", "a,b c", "a b,c"].map((pair) => pair.split(" "));
    let inside = 0;
    let open = () => {};
    const allInside = new Promise<void>((resolve) => {
      open = resolve;
    });

    const outcomes = await Promise.all(
      pairs.map(([name = "", key = ""]) =>
        exclaim.resource(name).claim({ key }, async () => {
          inside += 1;
          if (inside === pairs.length) open();
          await allInside;
        }),
      ),
    );

    expect(outcomes.map(({ status }) => status)).toEqual(pairs.map(() => "completed"));
  });

  it("are refused as a scope that has no text: nested too deep, or a column that is half a character", async () => {
    let deep: object = {};
    for (let depth = 0; depth < 50_000; depth += 1) deep = [deep];
    await stock([{ id: "1" }]);

    const outcomes = [
      await vouchers.claim({ claimant: "7", scope: { campaign: deep } }, async () => "ran"),
      await vouchers.claim({ claimant: "7", scope: { "\ud800": "x" } }, async () => "ran"),
    ];

    expect(outcomes.map(refusalOf)).toEqual(["SCOPE_INVALID", "SCOPE_INVALID"]);
  });
});

/** Asks with each text, all at once; fails when one is answered by something else than a value or a refusal. */
async function all<T>(
  given: readonly string[],
  ask: (text: string, index: number) => Promise<Outcome<T>>,
): Promise<readonly Outcome<T>[]> {
  const outcomes = await Promise.all(given.map(ask));
  const odd = outcomes
    .map((outcome, index) => [String(given[index]).slice(0, 60), refusalOf(outcome)])
    .filter(
      ([, refusal]) => refusal !== "completed" && !REFUSALS.includes(String(refusal)) && refusal !== "the handler failed",
    );
  expect(odd).toEqual([]);
  return outcomes;
}

function completed(given: readonly string[], outcomes: readonly Outcome<unknown>[]): readonly string[] {
  return given.filter((_, index) => outcomes[index]?.status === "completed");
}

function refusalOf(outcome: Outcome<unknown>): unknown {
  if (outcome.status !== "failed") return outcome.status;
  if (isExclaimError(outcome.error)) return outcome.error.code;
  return outcome.error instanceof Error ? outcome.error.message : outcome.error;
}

function column(text: string): Promise<string[]> {
  return database.column(text) as Promise<string[]>;
}

/** Free rows, of those whose texts PostgreSQL can hold. */
async function stock(rows: readonly { readonly id: string; readonly campaign?: string }[]): Promise<void> {
  const kept = rows.filter(
    ({ id, campaign = "" }) => !`${id}${campaign}`.includes("\0") && id.isWellFormed() && campaign.isWellFormed(),
  );
  await database.sql.query("insert into voucher_item (id, campaign) select * from unnest($1::text[], $2::text[])", [
    kept.map(({ id }) => id),
    kept.map(({ campaign = null }) => campaign),
  ]);
}
