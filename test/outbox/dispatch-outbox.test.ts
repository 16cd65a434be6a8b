import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { postgresResources } from "../../src/ledger/postgres-resources.ts";
import { dispatchOutbox } from "../../src/outbox/dispatch-outbox.ts";
import { openConnections } from "../ledger/ledger-database.ts";
import { eventually } from "../support/eventually.ts";
import { keptMessages, type OutboxDatabase, outboxDatabase } from "./outbox-fixture.ts";

const SEATS: PoolDefinition = { table: "seat", ownerColumn: "user_id" };

let database: OutboxDatabase;

beforeAll(async () => {
  database = await outboxDatabase();
  await database.sql.query("create table seat (id int primary key, user_id bigint)");
  await database.sql.query("insert into seat select generate_series(1, 20)");
});

afterAll(() => database.drop());

beforeEach(() => database.empty());

describe("a dispatcher", () => {
  it("O1 sends what a transaction published, with its topic, payload and id, and marks it sent", async () => {
    const { claim } = await database.ledger.claimed(SEATS, "1");
    const id = await database.ledger.ledger.transact(claim, (tx) => tx.publish("seat.taken", { seat: 1, by: ["ä", null] }));
    const target = keptMessages();

    await database.dispatch({ to: target }).drain();

    expect(target.messages).toEqual([{ id, topic: "seat.taken", payload: { seat: 1, by: ["ä", null] } }]);
    expect(await database.rows()).toMatchObject([{ id, state: "sent", attempts: 0 }]);
  });

  it("O1 sends what was published under a lease of a named resource", async () => {
    const resources = postgresResources({ database: database.sql, clock: systemClock, schema: "exclaim" });
    const request = { key: "42", holder: "h", mode: "exclusive", messageId: null, spacing: { from: "none" } } as const;
    const [answer] = await resources.take({ resource: "account", ttlMs: 60_000, requests: [request] });
    if (answer?.status !== "held") throw new Error("The lease was not taken.");
    const id = await resources.transact(answer.lease, (tx) => tx.publish("account.moved", 42));
    const target = keptMessages();

    await database.dispatch({ to: target }).drain();

    expect(target.messages).toEqual([{ id, topic: "account.moved", payload: 42 }]);
  });

  it("O1 never sends what was rolled back", async () => {
    const { claim } = await database.ledger.claimed(SEATS, "2");
    const target = keptMessages();
    const dispatcher = database.dispatch({ to: target });

    await expect(
      database.ledger.ledger.transact(claim, async (tx) => {
        await tx.publish("seat.taken", 2);
        throw new Error("the handler failed");
      }),
    ).rejects.toThrow("the handler failed");
    await dispatcher.drain();

    expect(target.calls).toBe(0);
    expect(await database.rows()).toEqual([]);
  });

  // Planted: no ring after the commit.
  it("O7 hears of a commit at once, however long its polling interval is", async () => {
    const { claim } = await database.ledger.claimed(SEATS, "3");
    const target = keptMessages();
    const dispatcher = database.dispatch({ to: target, pollMs: 60_000 });
    await dispatcher.drain();
    await listening(1);

    await database.ledger.ledger.transact(claim, (tx) => tx.publish("seat.taken", 3));

    await eventually(() => target.messages.length === 1, { what: "the message" });
  });

  it("O7 listens again after its connection broke", async () => {
    const { claim } = await database.ledger.claimed(SEATS, "4");
    const target = keptMessages();
    const dispatcher = database.dispatch({ to: target, pollMs: 60_000 });
    await dispatcher.drain();
    const [pid] = await listening(1);
    await database.sql.query("select pg_terminate_backend($1)", [pid]);
    await eventually(async () => !(await listening(1)).includes(pid), { what: "another connection that listens" });

    await database.ledger.ledger.transact(claim, (tx) => tx.publish("seat.taken", 4));

    await eventually(() => target.messages.length === 1, { what: "the message" });
  });

  it("O7 polls when its pool has one connection, and takes none of it to listen", async () => {
    const connections = openConnections({ connectionString: database.url, max: 1 });
    const target = keptMessages();
    const dispatcher = database.dispatch({ to: target, database: connections });
    await dispatcher.drain();

    await database.publish("1", ["a"]);

    await eventually(() => target.messages.length === 1, { what: "the message" });
    expect(dispatcher.errors).toEqual([]);
  });

  it("sends more than one batch holds", async () => {
    for (const claimant of ["1", "2", "3"]) await database.publish(claimant, [1, 2, 3]);
    const target = keptMessages();

    await database.dispatch({ to: target, batchSize: 2 }).drain();

    expect(target.messages).toHaveLength(9);
  });

  it("leaves topics alone that it has no target for", async () => {
    await database.publish("1", ["a"], "mine");
    await database.publish("1", ["b"], "another's");
    const target = keptMessages();

    await database.dispatch({ topics: { mine: { to: target } } }).drain();

    expect(target.messages).toMatchObject([{ payload: "a" }]);
    expect(await database.rows()).toMatchObject([{ state: "sent" }, { state: "waiting" }]);
  });

  it("sends a topic to its own target and the others to the common one", async () => {
    await database.publish("1", ["a"], "special");
    await database.publish("1", ["b"], "plain");
    const [special, common] = [keptMessages(), keptMessages()];

    await database.dispatch({ to: common, topics: { special: { to: special } } }).drain();

    expect([special.messages, common.messages]).toMatchObject([[{ payload: "a" }], [{ payload: "b" }]]);
  });

  it("closes after the batch in hand, and sends nothing more", async () => {
    await database.publish("1", ["a", "b"]);
    const answers: ((answer: "sent") => void)[] = [];
    const target = keptMessages(() => new Promise((resolve) => void answers.push(resolve)));
    const dispatcher = database.dispatch({ to: target, batchSize: 1 });
    await eventually(() => answers.length === 1, { what: "the first message" });

    const closed = dispatcher.close();
    answers[0]?.("sent");
    await closed;
    await dispatcher.close();

    expect(await database.rows()).toMatchObject([{ state: "sent" }, { state: "waiting" }]);
    expect(answers).toHaveLength(1);
    await expect(dispatcher.drain()).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("ends with its scope", async () => {
    const target = keptMessages();
    const connections = openConnections({ connectionString: database.url });

    {
      await using dispatcher = dispatchOutbox({ database: connections, to: target });
      await dispatcher.drain();
    }
    await database.publish("1", ["a"]);

    await eventually(() => connections.idleCount === connections.totalCount, { what: "all connections given back" });
    expect(await database.rows()).toMatchObject([{ state: "waiting" }]);
  });

  it.each([
    [{}, "nowhere to go"],
    [{ to: () => Promise.resolve(), batchSize: 0 }, "`batchSize` must be a whole number from 1 to 10000, not 0"],
    [{ to: () => Promise.resolve(), maxAttempts: 1.5 }, "`maxAttempts`"],
    [{ to: () => Promise.resolve(), retentionMs: -1 }, "`retentionMs`"],
    [{ to: () => Promise.resolve(), pollMs: 0 }, "`pollMs`"],
    [{ to: () => Promise.resolve(), schema: "" }, "is no identifier"],
  ])("refuses the options %j", (options, message) => {
    const make = () => dispatchOutbox({ database: database.sql, ...options });

    expect(make).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(message) }));
  });

  it("says what is missing when the schema is not migrated, once, and goes on trying", async () => {
    const dispatcher = database.dispatch({ to: keptMessages(), schema: "elsewhere" });

    await eventually(() => dispatcher.errors.length > 0, { what: "the report" });

    expect(dispatcher.errors).toMatchObject([
      { code: "SCHEMA_OUTDATED", message: expect.stringContaining("exclaim.migrate()") },
    ]);
  });
});

/** The server's numbers of the connections that listen, once there are so many. */
async function listening(count: number): Promise<readonly unknown[]> {
  return eventually(
    async () => {
      const pids = await database.column(
        "select pid from pg_stat_activity where datname = current_database() and query like 'listen %'",
      );
      return pids.length === count ? pids : null;
    },
    { what: `${count} connections that listen` },
  );
}
