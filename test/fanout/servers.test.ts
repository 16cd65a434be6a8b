import { randomUUID } from "node:crypto";
import amqp from "amqplib";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { type FanOutProgress, RejectedRow, runImport } from "../../src/fanout/fan-out.ts";
import { resolvePlan } from "../../src/fanout/plan.ts";
import type { MessageTarget, OutgoingMessage } from "../../src/outbox/target.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { type ImportFixture, importFixture, importId, jobKeys, people } from "./import-fixture.ts";

let fixture: ImportFixture;

beforeAll(async () => {
  fixture = await importFixture();
});

afterAll(async () => {
  await fixture.close();
});

const AWAY = new ExclaimError("BROKER_UNREACHABLE", "the broker is away");

/** A broker that does what it is told: a real one cannot be made to fail at a chosen call. */
function scriptedTarget(send: MessageTarget["send"]): MessageTarget {
  return { name: "scripted", chunkSize: 3, send };
}

describe("a fan-out and its servers", () => {
  // Planted: publish() before settled(), and messages of a chunk handed over before record() has answered.
  it("F3 publishes one chunk at a time, each recorded before, and tells what is behind after that", async () => {
    const id = importId();
    const seen: { messages: number; atOnce: number; recorded: number; position: number }[] = [];
    let atOnce = 0;
    const target = scriptedTarget(async (messages) => {
      atOnce += 1;
      const { rows } = await fixture.database.sql.query("select rows, position from exclaim.imports where id = $1", [id]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen.push({ messages: messages.length, atOnce, recorded: Number(rows[0].rows), position: Number(rows[0].position) });
      atOnce -= 1;
      return messages.map(() => "sent");
    });

    await fixture.run(people(10), { id, to: target });

    expect(seen.map(({ messages }) => messages)).toEqual([3, 3, 3, 1]);
    expect(seen.map(({ atOnce: sends }) => sends)).toEqual([1, 1, 1, 1]);
    expect(seen.filter(({ recorded, position }, at) => recorded < Math.min(10, 3 * (at + 1)) || position > 3 * at)).toEqual([]);
    expect(await fixture.imports.get(id)).toMatchObject({ state: "published", rows: 10 });
  });

  it("F1 sends a chunk again while the broker is away, under the same ids, and goes on", async () => {
    const sent: string[][] = [];
    const target = scriptedTarget(async (messages) => {
      sent.push(messages.map(({ id }) => id.slice(id.lastIndexOf("-") + 1)));
      if (sent.length === 2) throw AWAY;
      return messages.map(() => "sent");
    });

    const result = await fixture.run(people(5), { to: target });

    expect(sent).toEqual([
      ["p1", "p2", "p3"],
      ["p4", "p5"],
      ["p4", "p5"],
    ]);
    expect(result).toMatchObject({ status: "published", published: 5 });
  });

  it("fails when the broker stays away, and the next run publishes what is missing", async () => {
    const id = importId();
    const queue = fixture.openQueue();
    const base = { database: fixture.database.sql, key: (row: { id: string }) => row.id, id, chunkSize: 3 };
    let sends = 0;
    const target = scriptedTarget(async (messages) => {
      sends += 1;
      if (sends > 1) throw AWAY;
      await queue.addBulk(messages.map((message) => ({ name: "x", data: message.payload, opts: { jobId: message.id } })));
      return messages.map(() => "sent");
    });

    const failed = runImport(people(10), { ...resolvePlan({ ...base, to: target }), patienceMs: 150 });
    await expect(failed).rejects.toBe(AWAY);
    const state = await fixture.imports.get(id);
    const rest = await fixture.run(people(10), { ...base, to: queue });

    expect(state).toMatchObject({ state: "failed", reason: "the broker is away" });
    expect(rest).toMatchObject({ status: "published", published: 7, rows: 10 });
    expect(await jobKeys(queue, id)).toEqual(people(10).map((row) => row.id));
  });

  it("tells that it was cancelled, also while its last chunk was on its way", async () => {
    const id = importId();
    const target = scriptedTarget(async (messages) => {
      if (messages.length < 3) await fixture.imports.cancel(id);
      return messages.map(() => "sent");
    });

    const result = await fixture.run(people(5), { id, to: target });

    expect(result).toMatchObject({ status: "cancelled", rows: 5, published: 5 });
    expect(await fixture.imports.get(id)).toMatchObject({ state: "cancelled", rows: 5, pending: 5 });
  });

  // Planted: rows that an earlier run had recorded are counted again.
  it("counts a row once that is rejected or duplicated in a chunk that is read again", async () => {
    const id = importId();
    const rows = [{ id: "a" }, { id: "" }, { id: "a" }, { id: "b" }];
    const base = { database: fixture.database.sql, key: (row: { id: string }) => row.id, id, maxRejected: 1 };
    const away = scriptedTarget(async () => {
      throw AWAY;
    });
    const back = scriptedTarget(async (messages) => messages.map(() => "sent"));

    await expect(runImport(rows, { ...resolvePlan({ ...base, to: away }), patienceMs: 50 })).rejects.toBe(AWAY);
    const rest = await fixture.run(rows, { ...base, to: back });

    expect(rest).toMatchObject({ status: "published", rows: 4, published: 2, rejected: 1, duplicated: 1 });
  });

  it("fails and says so when the database cannot be reached at all", async () => {
    const queue = fixture.openQueue();
    const nowhere = new pg.Pool({ connectionString: "postgres://127.0.0.1:1/none" });
    onTestFinished(() => nowhere.end());

    const running = fixture.run(people(3), { to: queue, database: nowhere });

    await expect(running).rejects.toMatchObject({ code: "DATABASE_UNREACHABLE" });
  });

  it("F2 records as rejected what the broker will not take, also of the last chunk, and publishes the rest", async () => {
    const id = importId();
    const refused = new ExclaimError("MESSAGE_REFUSED", "too large");
    const target = scriptedTarget(async (messages) =>
      messages.map(({ payload }) => (/p[27]$/.test((payload as { id: string }).id) ? { refused } : "sent")),
    );

    const result = await fixture.run(people(7), { id, to: target });

    expect(result).toMatchObject({ status: "published", rows: 7, published: 5, rejected: 2 });
    expect(await fixture.imports.get(id)).toMatchObject({ state: "published", rows: 7, pending: 5, rejected: 2 });
    expect((await fixture.report(id)).filter(({ state }) => state === "rejected")).toMatchObject([
      { line: 2, key: "p2", code: "MESSAGE_REFUSED", reason: "too large" },
      { line: 7, key: "p7", code: "MESSAGE_REFUSED", reason: "too large" },
    ]);
  });

  // Planted: no look at the count after the last chunk.
  it("F2 stops for what the broker would not take of the last chunk, too", async () => {
    const id = importId();
    const refused = new ExclaimError("MESSAGE_REFUSED", "too large");
    const target = scriptedTarget(async (messages) => messages.map(() => ({ refused })));

    const error = await fixture.run(people(2), { id, to: target, maxRejected: 1 }).catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code: "TOO_MANY_REJECTED" });
    expect(await fixture.imports.get(id)).toMatchObject({ state: "failed", rows: 2, pending: 0, rejected: 2 });
  });

  // Planted: the answer waited for without a limit.
  it("does not wait for ever for a function that gives no answer", async () => {
    const id = importId();
    const base = { database: fixture.database.sql, id, key: (row: { id: string }) => row.id };
    const silent = () => new Promise<void>(() => {});

    const running = runImport(people(2), { ...resolvePlan({ ...base, to: silent }), sendLimitMs: 20, patienceMs: 50 });

    await expect(running).rejects.toMatchObject({ code: "BROKER_UNREACHABLE" });
    expect(await fixture.imports.get(id)).toMatchObject({ state: "failed", pending: 2 });
  });

  // Planted: the line that a rejected row names: two rows of one line were one, and the import failed over its counts.
  it("numbers the rows of a source that does not know its lines, rejected ones too", async () => {
    const id = importId();
    const rows = [new RejectedRow(0, "torn"), { id: "a" }, new RejectedRow(0, "torn")];

    const result = await fixture.run<{ id: string }>(rows, {
      id,
      to: scriptedTarget(async (messages) => messages.map(() => "sent")),
    });

    expect(result).toMatchObject({ status: "published", rows: 3, rejected: 2 });
    expect((await fixture.report(id)).map(({ line, state }) => [line, state])).toEqual([
      [1, "rejected"],
      [2, "pending"],
      [3, "rejected"],
    ]);
  });

  it("F5 holds up while too many messages wait, says so, and goes on once there is room", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const heldUp: FanOutProgress[] = [];
    let mostWaiting = 0;
    const onProgress = (progress: FanOutProgress): void => {
      if (!progress.isHeldUp) return;
      heldUp.push(progress);
      void queue.getWaitingCount().then((waiting) => {
        mostWaiting = Math.max(mostWaiting, waiting);
        return queue.drain();
      });
    };

    const result = await fixture.run(people(12), { id, to: queue, chunkSize: 2, maxBacklog: 4, onProgress });

    expect(result).toMatchObject({ status: "published", published: 12 });
    expect(heldUp.length).toBeGreaterThanOrEqual(2);
    expect(mostWaiting).toBe(4);
  });

  it("F5 hears while it is held up that it was cancelled, or that its signal was aborted", async () => {
    const queue = fixture.openQueue();
    const [cancelled, stopped] = [importId(), importId()];
    const stopping = new AbortController();
    const options = { to: queue, chunkSize: 2, maxBacklog: 2 };

    const first = await fixture.run(people(6), {
      ...options,
      id: cancelled,
      onProgress: ({ isHeldUp }) => void (isHeldUp && fixture.imports.cancel(cancelled)),
    });
    await queue.drain();
    const second = await fixture.run(people(6), {
      ...options,
      id: stopped,
      signal: stopping.signal,
      onProgress: ({ isHeldUp }) => void (isHeldUp && stopping.abort()),
    });

    expect([first.status, first.rows, second.status, second.rows]).toEqual(["cancelled", 2, "stopped", 2]);
  });

  it("F6 publishes to a RabbitMQ queue, and names a queue that there is not", async () => {
    const connection = await amqp.connect(rabbitmqUrl());
    const channel = await connection.createConfirmChannel();
    const { queue } = await channel.assertQueue(`q-${randomUUID()}`);
    const id = importId();

    const result = await fixture.run(people(30), { id, to: channel, queue, chunkSize: 8 });
    const other = await connection.createConfirmChannel();
    other.on("error", () => {});
    const missing = await fixture
      .run(people(3), { id: `${id}m`, to: other, queue: "q-missing" })
      .catch((error: unknown) => error);

    const ids: unknown[] = [];
    for (
      let message = await channel.get(queue, { noAck: true });
      message;
      message = await channel.get(queue, { noAck: true })
    ) {
      ids.push(message.properties.messageId);
    }
    await channel.deleteQueue(queue);
    await connection.close();
    expect(result).toMatchObject({ status: "published", published: 30 });
    expect(ids).toEqual(people(30).map((row) => `imp-${id}-${row.id}`));
    expect(missing).toMatchObject({ code: "CONFIG_INVALID" });
    expect(await fixture.imports.get(`${id}m`)).toBe(null);
  });

  it("refuses options that make no sense before anything is recorded", async () => {
    const ignore = async (_: readonly OutgoingMessage[]): Promise<void> => {};
    const wrong = [
      { to: ignore, id: "-a" },
      { to: ignore, maxBacklog: 5 },
      { to: ignore, chunkSize: 0 },
      { to: ignore, chunkSize: 10_001 },
      { to: ignore, maxRejected: -1 },
      { to: 5 as never },
      { to: ignore, key: "id" as never },
      { to: ignore, validate: {} as never },
    ];

    const codes = await Promise.all(
      wrong.map((options) => fixture.run(people(1), options).catch((error: { code: string }) => error.code)),
    );

    expect(codes).toEqual(wrong.map(() => "CONFIG_INVALID"));
  });
});
