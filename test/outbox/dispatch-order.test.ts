import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { Database, Query } from "../../src/ledger/database.ts";
import { openConnections } from "../ledger/ledger-database.ts";
import { eventually } from "../support/eventually.ts";
import { keptMessages, type OutboxDatabase, outboxDatabase } from "./outbox-fixture.ts";

const CLAIMANTS = 30;
const MESSAGES_EACH = 6;

let database: OutboxDatabase;

beforeAll(async () => {
  database = await outboxDatabase();
});

afterAll(() => database.drop());

beforeEach(() => database.empty());

describe("dispatchers side by side", () => {
  // Planted, each alone: no advisory lock; no look at earlier rows that are put off; a line goes on after a refusal.
  it("O3 send each message once and a claimant's in order, whatever is refused", async () => {
    for (let claimant = 0; claimant < CLAIMANTS; claimant += 1) {
      await database.publish(
        String(claimant),
        numbers(MESSAGES_EACH).map((number) => ({ claimant, number })),
      );
    }
    let asked = 0;
    const target = keptMessages(async () => {
      asked += 1;
      await delay(asked % 3);
      return asked % 7 === 0 ? refusal() : "sent";
    });
    const dispatchers = numbers(4).map(() => database.dispatch({ to: target, batchSize: 40, maxAttempts: 1_000 }));

    await eventually(
      async () => {
        await database.hurry();
        return (await database.rows()).every(({ state }) => state === "sent");
      },
      { what: "all messages sent" },
    );
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.close()));

    const sent = target.messages.map(({ payload }) => payload as { claimant: number; number: number });
    expect(sent).toHaveLength(CLAIMANTS * MESSAGES_EACH);
    for (let claimant = 0; claimant < CLAIMANTS; claimant += 1) {
      const own = sent.filter((message) => message.claimant === claimant).map(({ number }) => number);
      expect(own).toEqual([0, 1, 2, 3, 4, 5]);
    }
  });

  // Planted: rows are read before their partitions are locked.
  it("O3 read rows only once they have the lock: what another has sent meanwhile is not sent again", async () => {
    await database.publish("1", ["a", "b"]);
    let isAboutToLock = false;
    let lock = (): void => {};
    const gate = new Promise<void>((resolve) => {
      lock = resolve;
    });
    const [late, target] = [keptMessages(), keptMessages()];
    const slow = gated(openConnections({ connectionString: database.url, max: 2 }), async ({ text }) => {
      if (!text.includes("pg_try_advisory_xact_lock($1::integer, p.partition)")) return;
      isAboutToLock = true;
      await gate;
    });
    const dispatcher = database.dispatch({ to: late, database: slow });
    await eventually(() => isAboutToLock, { what: "the slow dispatcher's batch" });

    await database.dispatch({ to: target }).drain();
    lock();
    await dispatcher.drain();

    expect([target.messages.length, late.messages.length]).toEqual([2, 0]);
  });

  it("O3 share the work: a dispatcher that is busy leaves other partitions to others", async () => {
    for (let claimant = 0; claimant < 60; claimant += 1) await database.publish(String(claimant), [claimant]);
    const held: (() => void)[] = [];
    const slow = keptMessages(() => new Promise((resolve) => void held.push(() => resolve("sent"))));
    const quick = keptMessages();
    database.dispatch({ to: slow });
    await eventually(() => held.length > 0, { what: "the first batch" });

    database.dispatch({ to: quick });
    await eventually(() => quick.messages.length > 10, { what: "what the other sends meanwhile" });

    expect(slow.messages).toEqual([]);
    await eventually(
      () => {
        for (const release of held) release();
        return slow.messages.length + quick.messages.length === 60;
      },
      { what: "all messages" },
    );
  });
});

describe("the order of a claimant", () => {
  it("O3 holds within a batch: what comes after a refused message is not sent", async () => {
    await database.publish("1", ["a", "b", "c"]);
    await database.publish("2", ["d"]);
    const target = keptMessages(({ payload }) => (payload === "b" ? refusal() : "sent"));

    await database.dispatch({ to: target }).drain();

    expect(target.messages.map(({ payload }) => payload).sort()).toEqual(["a", "d"]);
    expect(await database.rows()).toMatchObject([
      { state: "sent" },
      { state: "waiting", attempts: 1 },
      { state: "waiting", attempts: 0 },
      { state: "sent" },
    ]);
  });

  it("O3 is of one destination: what goes elsewhere waits for nothing", async () => {
    await database.publish("1", ["a"], "refused");
    await database.publish("1", ["b"], "other");
    const [refusing, target] = [keptMessages(() => refusal()), keptMessages()];

    await database.dispatch({ to: target, topics: { refused: { to: refusing } } }).drain();

    expect(target.messages).toMatchObject([{ payload: "b" }]);
  });

  it("O3 holds among topics that name the same destination", async () => {
    await database.publish("1", ["a"], "refused");
    await database.publish("1", ["b"], "other");
    const target = keptMessages(({ topic }) => (topic === "refused" ? refusal() : "sent"));

    await database.dispatch({ topics: { refused: { to: target }, other: { to: target } } }).drain();

    expect(target.messages).toEqual([]);
  });
});

/** The same connections, each statement of which waits for `before`. */
function gated(connections: Database, before: (query: Query) => Promise<void>): Database {
  return {
    connect(checkedOut) {
      connections.connect((error, connection) => {
        if (connection === undefined) return checkedOut(error, undefined);
        checkedOut(undefined, {
          query: async (query) => {
            await before(query);
            return connection.query(query);
          },
          release: (failure) => connection.release(failure),
          on: (event, listener) => connection.on(event, listener),
          removeListener: (event, listener) => connection.removeListener(event, listener),
        });
      });
    },
  };
}

function refusal() {
  return { refused: new ExclaimError("MESSAGE_REFUSED", "not this one") };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
