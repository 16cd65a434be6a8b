import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { OutboxAdmin, ParkedMessage } from "../../src/ledger/outbox-status.ts";
import { postgresOutbox } from "../../src/ledger/postgres-outbox.ts";
import { thrownBy } from "../ledger/ledger-database.ts";
import { eventually } from "../support/eventually.ts";
import { keptMessages, type OutboxDatabase, outboxDatabase } from "./outbox-fixture.ts";

let database: OutboxDatabase;
let outbox: OutboxAdmin;

beforeAll(async () => {
  database = await outboxDatabase();
  outbox = postgresOutbox({ database: database.sql, clock: systemClock, schema: "exclaim" });
});

afterAll(() => database.drop());

beforeEach(() => database.empty());

describe("the status of the outbox", () => {
  it("is all zero when it is empty", async () => {
    expect(await outbox.outboxStatus()).toEqual({ waiting: 0, due: 0, oldestWaitingMs: null, parked: 0, sent: 0 });
  });

  it("counts what waits, is due, parked and sent, and tells the age of the oldest that waits", async () => {
    const [, putOff] = await database.publish("1", ["old", "put off", "new"]);
    await database.sql.query(
      "update exclaim.outbox set created_at = created_at - interval '1 hour' where payload::text = '\"old\"'",
    );
    await database.sql.query("update exclaim.outbox set next_at = clock_timestamp() + interval '1 hour' where id = $1", [
      putOff,
    ]);
    await parked("2", ["p"]);
    const sent = await database.publish("3", ["a", "b"]);
    await database.sql.query("update exclaim.outbox set published_at = clock_timestamp() where id = any ($1)", [sent]);

    const status = await outbox.outboxStatus();

    expect(status).toMatchObject({ waiting: 3, due: 2, parked: 1, sent: 2 });
    expect(status.oldestWaitingMs).toBeGreaterThanOrEqual(3_600_000);
    expect(status.oldestWaitingMs).toBeLessThan(3_700_000);
  });

  it("says what to do when the schema is not migrated", async () => {
    const elsewhere = postgresOutbox({ database: database.sql, clock: systemClock, schema: "elsewhere" });

    const errors = [
      await thrownBy(elsewhere.outboxStatus()),
      await thrownBy(elsewhere.retryParked("all")),
      await thrownBy(listed(elsewhere.parkedMessages())),
    ];

    expect(errors.map(({ code }) => code)).toEqual(["SCHEMA_OUTDATED", "SCHEMA_OUTDATED", "SCHEMA_OUTDATED"]);
  });
});

describe("parked messages", () => {
  it("are listed with what they are and why, those parked first leading", async () => {
    const [id] = await parked("7", ["p"], "voucher.assigned");
    await parked("8", ["q"]);

    const messages = await listed(outbox.parkedMessages());

    expect(messages).toMatchObject([
      { id, topic: "voucher.assigned", kind: "pool", pool: "seat", claimant: "7", attempts: 1, reason: "not this one" },
      { claimant: "8" },
    ]);
    expect(messages[0]?.parkedAt).toBeInstanceOf(Date);
  });

  it("are read page by page, up to a limit", async () => {
    await database.sql.query(`insert into exclaim.outbox (pool, scope, claimant, token, topic, payload, parked_at, reason)
      select 'seat', '{}', n::text, 1, 't', '1', now(), 'r' from generate_series(1, 1201) n`);

    const [all, some, none] = await Promise.all([
      listed(outbox.parkedMessages()),
      listed(outbox.parkedMessages({ limit: 501 })),
      listed(outbox.parkedMessages({ limit: 0 })),
    ]);

    expect(new Set(all.map(({ claimant }) => claimant)).size).toBe(1201);
    expect([all.length, some.length, none.length]).toEqual([1201, 501, 0]);
  });

  it("wait again once they are retried, those that were named alone, and are sent", async () => {
    const [first] = await parked("1", ["a"]);
    const [second] = await parked("2", ["b"]);

    const count = await outbox.retryParked([first ?? "", "00000000-0000-4000-8000-000000000000"]);
    const target = keptMessages();
    await database.dispatch({ to: target }).drain();

    expect(count).toBe(1);
    expect(target.messages).toMatchObject([{ id: first, payload: "a" }]);
    expect(await database.rows()).toMatchObject([
      { id: first, state: "sent", attempts: 0, reason: null },
      { id: second, state: "parked" },
    ]);
  });

  it("wait again all together", async () => {
    await parked("1", ["a", "b"]);
    await database.publish("2", ["c"]);

    const counts = [await outbox.retryParked("all"), await outbox.retryParked("all"), await outbox.retryParked([])];

    expect(counts).toEqual([2, 0, 0]);
    expect(await outbox.outboxStatus()).toMatchObject({ waiting: 3, due: 3, parked: 0 });
  });

  it("are not retried by what is no id", async () => {
    expect(await thrownBy(outbox.retryParked(["voucher"]))).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining('"voucher" is no id'),
    });
  });
});

describe("what was sent", () => {
  it("O6 is forgotten after a while, in bites, and nothing else is", async () => {
    await database.sql.query(`insert into exclaim.outbox (pool, scope, claimant, token, topic, payload, created_at, published_at)
      select 'seat', '{}', n::text, 1, 't', '1', now() - interval '2 hours', now() - interval '1 hour' from generate_series(1, 10001) n`);
    await database.publish("1", ["waits"], "nowhere");
    await parked("2", ["parked"]);
    await database.publish("3", ["fresh"]);
    await database.sql.query(
      "update exclaim.outbox set created_at = now() - interval '1 day', parked_at = parked_at - interval '1 day'",
    );

    const dispatcher = database.dispatch({ topics: { noted: { to: keptMessages() } }, retentionMs: 60_000 });
    await dispatcher.drain();

    await eventually(async () => (await database.rows()).length === 3, { what: "what is left" });
    expect(await database.rows()).toMatchObject([
      { payload: "waits", state: "waiting" },
      { payload: "parked", state: "parked" },
      { payload: "fresh", state: "sent" },
    ]);
  });
});

/** Messages that a dispatcher parked. */
async function parked(claimant: string, payloads: readonly unknown[], topic?: string): Promise<readonly string[]> {
  const ids = await database.publish(claimant, payloads, topic);
  await database.sql.query(
    "update exclaim.outbox set parked_at = clock_timestamp(), reason = 'not this one', attempts = 1 where id = any ($1)",
    [ids],
  );
  return ids;
}

async function listed(messages: AsyncIterable<ParkedMessage>): Promise<readonly ParkedMessage[]> {
  const found: ParkedMessage[] = [];
  for await (const message of messages) found.push(message);
  return found;
}
