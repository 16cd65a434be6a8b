import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { ExclaimError } from "../../src/errors.ts";
import type { Database } from "../../src/ledger/database.ts";
import { Dispatcher } from "../../src/outbox/dispatcher.ts";
import { dispatcherSettings } from "../../src/outbox/dispatcher-settings.ts";
import type { SendAnswer } from "../../src/outbox/target.ts";
import type { TargetSource } from "../../src/outbox/target-of.ts";
import { systemRandom } from "../../src/random.ts";
import { openConnections } from "../ledger/ledger-database.ts";
import { eventually } from "../support/eventually.ts";
import { keptMessages, type OutboxDatabase, outboxDatabase } from "./outbox-fixture.ts";

let database: OutboxDatabase;

beforeAll(async () => {
  database = await outboxDatabase();
});

afterAll(() => database.drop());

beforeEach(() => database.empty());

describe("a dispatcher that dies between sending and marking", () => {
  // Planted: rows are marked, and that is committed, before they are sent.
  it("O2 sends the message again, under the same id", async () => {
    const [id] = await database.publish("1", ["a"]);
    let sends = 0;
    const target = keptMessages(async (): Promise<SendAnswer> => {
      sends += 1;
      if (sends === 1) await terminateDispatcher();
      return "sent";
    });

    const dispatcher = database.dispatch({ to: target });
    await dispatcher.drain();

    expect(target.messages).toMatchObject([{ id }, { id }]);
    expect(await database.rows()).toMatchObject([{ state: "sent", attempts: 0 }]);
    expect(dispatcher.errors).toMatchObject([{ code: "DATABASE_UNREACHABLE" }]);
  });

  it("O2 holds no row while its process is gone: another sends it", async () => {
    await database.publish("1", ["a"]);
    const hung = keptMessages(() => new Promise<SendAnswer>((resolve) => onTestFinished(() => resolve("sent"))));
    database.dispatch({ to: hung, pollMs: 60_000 });
    await eventually(() => hung.calls === 1, { what: "the first dispatcher's call" });
    await terminateDispatcher();
    const target = keptMessages();

    await database.dispatch({ to: target }).drain();

    expect(target.messages).toMatchObject([{ payload: "a" }]);
  });
});

describe("a message that makes every call of a function fail", () => {
  // Planted: such a call taken for a target that is away: nobody else's message went out, and this one was never parked.
  it("O4 is parked in the end, and those of other claimants go out", async () => {
    await database.publish("1", ["bad", "after"]);
    await database.publish("2", ["good"]);
    await database.publish("3", ["well"]);
    const taken: unknown[] = [];
    const send = async (messages: readonly { readonly payload: unknown }[]): Promise<void> => {
      if (messages.some(({ payload }) => payload === "bad")) throw new Error("cannot read property of undefined");
      taken.push(...messages.map(({ payload }) => payload));
    };

    database.dispatch({ to: send, maxAttempts: 1 });
    await eventually(() => taken.length === 3, { what: "what is not poison" });

    expect(new Set(taken)).toEqual(new Set(["good", "well", "after"]));
    expect(await database.rows()).toMatchObject([{ payload: "bad", state: "parked" }, {}, {}, {}]);
  });

  it("O4 is told apart from a function whose broker is away, which burns nothing", async () => {
    await database.publish("1", ["a"]);
    await database.publish("2", ["b"]);
    let calls = 0;

    const dispatcher = database.dispatch({
      to: async () => {
        calls += 1;
        if (calls <= 3) throw new Error("503");
      },
    });
    await dispatcher.drain();

    expect(await database.rows()).toMatchObject([
      { state: "sent", attempts: 0 },
      { state: "sent", attempts: 0 },
    ]);
  });
});

describe("a message that the broker refuses", () => {
  it("O4 is put off, then parked with its reason, and later ones of its claimant go on", async () => {
    const [bad] = await database.publish("1", ["bad", "good"]);
    const target = keptMessages(({ payload }) => (payload === "bad" ? refusal("too large: ä\0") : "sent"));
    const dispatcher = database.dispatch({ to: target, maxAttempts: 2 });
    await dispatcher.drain();
    const putOff = await database.rows();

    await database.hurry();
    await dispatcher.drain();

    expect(putOff).toMatchObject([
      { state: "waiting", attempts: 1, reason: "too large: \\u00e4\\u0000" },
      { state: "waiting", attempts: 0 },
    ]);
    expect(await database.rows()).toMatchObject([{ id: bad, state: "parked", attempts: 2 }, { state: "sent" }]);
    expect(target.messages).toMatchObject([{ payload: "good" }]);
    expect(dispatcher.errors).toMatchObject([
      { code: "MESSAGE_REFUSED", message: expect.stringContaining("for the 1. of 2 times, it is tried again in") },
      { code: "MESSAGE_REFUSED", message: expect.stringContaining("for the 2. of 2 times, it is parked") },
    ]);
  });

  it("O4 is tried again when its time has come, however long the polling interval is", async () => {
    await database.publish("1", ["a"]);
    let asked = 0;
    const target = keptMessages(() => {
      asked += 1;
      return asked === 1 ? refusal("not now") : "sent";
    });

    database.dispatch({ to: target, pollMs: 60_000 });

    await eventually(() => target.messages.length === 1, { what: "the second try" });
  });
});

describe("a broker that cannot be reached", () => {
  // Planted: an attempt is counted for each row that was not sent.
  it("O5 costs no attempt, is reported once, and the messages go in order when it is back", async () => {
    await database.publish("1", ["a", "b"]);
    let isUp = false;
    const target = keptMessages(() => {
      if (isUp) return "sent";
      throw new ExclaimError("BROKER_UNREACHABLE", "no broker");
    });
    const dispatcher = database.dispatch({ to: target, maxAttempts: 1 });
    await eventually(() => target.calls >= 3, { what: "the third try" });
    const meanwhile = await database.rows();
    isUp = true;

    await dispatcher.drain();

    expect(meanwhile).toMatchObject([
      { state: "waiting", attempts: 0 },
      { state: "waiting", attempts: 0 },
    ]);
    expect(target.messages).toMatchObject([{ payload: "a" }, { payload: "b" }]);
    expect(dispatcher.errors).toMatchObject([{ code: "BROKER_UNREACHABLE", message: "no broker" }]);
  });

  it("O5 does not hold up other destinations", async () => {
    await database.publish("1", ["a"], "down");
    await database.publish("1", ["b"], "up");
    const down = () => Promise.reject(new Error("no broker"));
    const target = keptMessages();

    const dispatcher = database.dispatch({ topics: { down: { to: down }, up: { to: target } } });

    await eventually(() => target.messages.length === 1, { what: "the other's message" });
    expect(dispatcher.errors).toMatchObject([{ code: "BROKER_UNREACHABLE", message: expect.stringContaining("no broker") }]);
  });

  it("O5 is told to whoever drains, after ten seconds of it", async () => {
    await database.publish("1", ["a"]);
    const dispatcher = hastyDispatcher(() => Promise.reject(new Error("no broker")));

    await expect(dispatcher.drain()).rejects.toMatchObject({ code: "BROKER_UNREACHABLE" });
  });

  it("O5 counts as such when it does not answer in time, and its rows are free again", async () => {
    await database.publish("1", ["a"]);
    let calls = 0;
    const dispatcher = hastyDispatcher(() => {
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : Promise.resolve();
    });

    await dispatcher.drain();

    expect(calls).toBe(2);
    expect(await database.rows()).toMatchObject([{ state: "sent", attempts: 0 }]);
  });

  it("O5 is a target as well that does not answer every message", async () => {
    await database.publish("1", ["a"]);
    const target = { name: "mute", chunkSize: 10, send: async () => [] };

    const dispatcher = database.dispatch({ to: target });

    await eventually(() => dispatcher.errors.length > 0, { what: "the report" });
    expect(dispatcher.errors).toMatchObject([{ code: "CONFIG_INVALID", message: "mute must answer each message: 0 of 1" }]);
    expect(await database.rows()).toMatchObject([{ state: "waiting", attempts: 0 }]);
  });

  it("is not troubled by an onError that throws, later even", async () => {
    await database.publish("1", ["a"]);
    let calls = 0;
    const target = keptMessages(() => {
      calls += 1;
      if (calls === 1) throw new Error("no broker");
      return "sent";
    });
    const onError = async () => {
      throw new Error("the logger failed");
    };

    await database.dispatch({ to: target, onError }).drain();

    expect(target.messages).toHaveLength(1);
  });
});

describe("a pool of connections without room", () => {
  // Planted: the listener keeps its connection.
  it("O7 has it give up listening, and poll", async () => {
    await database.publish("1", ["a"]);
    const connections = openConnections({ connectionString: database.url, max: 1 });
    const target = keptMessages();

    // Wrapped, the pool does not tell how small it is.
    const dispatcher = hastyDispatcher(target, { connect: (checkedOut) => connections.connect(checkedOut) });

    await eventually(() => target.messages.length === 1, { what: "the message" });
    await dispatcher.drain();
  });
});

const HASTE = 20;

/** A dispatcher whose clock runs twenty times as fast. */
function hastyDispatcher(to: TargetSource, connections?: Database): Dispatcher {
  const clock: Clock = {
    now: () => performance.now() * HASTE,
    after(delayMs, fire) {
      const timer = setTimeout(fire, delayMs / HASTE);
      return () => clearTimeout(timer);
    },
  };
  const own = connections ?? openConnections({ connectionString: database.url, max: 3 });
  const dispatcher = new Dispatcher(dispatcherSettings({ database: own, to }, clock, systemRandom));
  onTestFinished(() => dispatcher.close());
  return dispatcher;
}

function refusal(reason: string): SendAnswer {
  return { refused: new ExclaimError("MESSAGE_REFUSED", reason) };
}

/** Ends the connection whose transaction waits for the broker, and waits until the server has. */
async function terminateDispatcher(): Promise<void> {
  const [pid] = await database.column(
    "select pid from pg_stat_activity where datname = current_database() and state = 'idle in transaction'",
  );
  await database.sql.query("select pg_terminate_backend($1)", [pid]);
  await eventually(async () => (await database.column("select pid from pg_stat_activity where pid = $1", [pid])).length === 0);
}
