import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type ImportFixture, importFixture, importId, jobKeys, people } from "./import-fixture.ts";

let fixture: ImportFixture;

beforeAll(async () => {
  fixture = await importFixture();
});

afterAll(async () => {
  await fixture.close();
});

describe("an interrupted fan-out", () => {
  // Planted: the recorded chunk is not waited for.
  it("F9 ends on a chunk boundary when its signal is aborted, and goes on there", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const stopping = new AbortController();
    const onProgress = ({ rows }: { rows: number }): void => {
      if (rows >= 4) stopping.abort();
    };

    const stopped = await fixture.run(people(20), { id, to: queue, chunkSize: 2, signal: stopping.signal, onProgress });
    const keysThen = await jobKeys(queue, id);
    const state = await fixture.imports.get(id);
    const rest = await fixture.run(people(20), { id, to: queue, chunkSize: 2 });

    expect(stopped.status).toBe("stopped");
    expect(keysThen).toHaveLength(stopped.rows);
    expect(stopped.rows % 2).toBe(0);
    expect(state).toMatchObject({ state: "stopped", rows: stopped.rows, pending: stopped.rows });
    expect(rest).toMatchObject({ status: "published", resumed: true, rows: 20, published: 20 - stopped.rows });
    expect(await jobKeys(queue, id)).toEqual(people(20).map((row) => row.id));
  });

  it("F9 does not wait for a source that gives nothing more", async () => {
    const queue = fixture.openQueue();
    const stopping = new AbortController();
    let isClosed = false;
    const source = new Readable({
      objectMode: true,
      read() {},
      destroy(error, done) {
        isClosed = true;
        done(error);
      },
    });
    for (const row of people(2)) source.push(row);
    const onProgress = (): void => stopping.abort();

    const result = await fixture.run(source, { to: queue, chunkSize: 2, signal: stopping.signal, onProgress });

    expect(result).toMatchObject({ status: "stopped", rows: 2, published: 2 });
    expect(isClosed).toBe(true);
  });

  it("publishes what a slow source gave, before the chunk is full", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const stopping = new AbortController();
    async function* slow(): AsyncGenerator<{ id: string }> {
      yield { id: "a" };
      await delay(60_000, undefined, { signal: stopping.signal });
    }

    const running = fixture.run(slow(), { id, to: queue, signal: stopping.signal });
    await eventually(async () => expect(await jobKeys(queue, id)).toEqual(["a"]));
    stopping.abort();

    expect(await running).toMatchObject({ status: "stopped", rows: 1 });
  });

  // Planted: the open chunk looked up before the row's validation was awaited: one row in each chunk that was handed on meanwhile was lost.
  it("loses no row whose validation takes longer than a chunk is waited for", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const validate = async () => {
      await delay(300);
      return undefined;
    };

    const result = await fixture.run(people(8), { id, to: queue, validate });

    expect(result).toMatchObject({ status: "published", rows: 8, published: 8 });
    expect(await jobKeys(queue, id)).toEqual(["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"]);
  });

  it("ends when it is cancelled, and can be begun again", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    let isCancelled = false;
    async function* rows(): AsyncGenerator<{ id: string }> {
      for (const row of people(100)) {
        if (row.id === "p11") isCancelled = await fixture.imports.cancel(id);
        yield row;
      }
    }

    const cancelled = await fixture.run(rows(), { id, to: queue, chunkSize: 5 });
    const keysThen = await jobKeys(queue, id);
    const state = await fixture.imports.get(id);
    const rest = await fixture.run(people(100), { id, to: queue, chunkSize: 5 });

    expect(isCancelled).toBe(true);
    expect([cancelled.status, cancelled.rows, keysThen.length]).toEqual(["cancelled", 10, 10]);
    expect(state).toMatchObject({ state: "cancelled", rows: 10 });
    expect(rest).toMatchObject({ status: "published", rows: 100 });
    expect(await jobKeys(queue, id)).toEqual(people(100).map((row) => row.id));
  });

  it("ends when a newer run of the same import has begun", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    async function* rows(): AsyncGenerator<{ id: string }> {
      for (const row of people(40)) {
        if (row.id === "p11") await fixture.run(people(40), { id, to: queue, chunkSize: 5 });
        yield row;
      }
    }

    const older = await fixture.run(rows(), { id, to: queue, chunkSize: 5 });

    expect(older).toMatchObject({ status: "superseded", rows: 10 });
    expect(await fixture.imports.get(id)).toMatchObject({ state: "published", rows: 40, pending: 40 });
    expect(await jobKeys(queue, id)).toEqual(people(40).map((row) => row.id));
  });

  // Planted: no turn for the event loop while a chunk is read.
  it("leaves the event loop its turns, however long a source that never waits keeps it", async () => {
    let turns = 0;
    let turnsAtLast = 0;
    let isRead = false;
    const count = (): void => {
      turns += 1;
      if (!isRead) setImmediate(count);
    };
    const validate = (): undefined => {
      const until = performance.now() + 1;
      if (turns === 0) setImmediate(count);
      while (performance.now() < until);
      turnsAtLast = turns;
    };

    await fixture.run(people(300), { to: async () => {}, validate, chunkSize: 300 });
    isRead = true;

    expect(turnsAtLast).toBeGreaterThan(10);
  });

  it("publishes the rows before the one that its source breaks at, passes the error on, and goes on once it is mended", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const broken = new Error("the disk is gone");
    function* rows(): Generator<{ id: string }> {
      yield* people(7);
      throw broken;
    }

    const thrown = await fixture.run(rows(), { id, to: queue, chunkSize: 5 }).catch((error: unknown) => error);
    const state = await fixture.imports.get(id);
    await fixture.run(people(9), { id, to: queue, chunkSize: 5 });

    expect(thrown).toBe(broken);
    expect(state).toMatchObject({ state: "failed", reason: "the disk is gone", rows: 7, pending: 7 });
    expect(await jobKeys(queue, id)).toEqual(people(9).map((row) => row.id));
  });

  it("closes its source however it ends, and hears a stream that breaks meanwhile", async () => {
    const queue = fixture.openQueue();
    let closed = 0;
    function* rows(): Generator<{ id: string }> {
      try {
        yield* people(3);
      } finally {
        closed += 1;
      }
    }
    const stream = Readable.from(people(3));

    const badId = fixture.run(rows(), { to: queue, id: "a b" }).catch((error: { code: string }) => error.code);
    const whole = await fixture.run(rows(), { to: queue });
    const aborted = await fixture.run(rows(), { to: queue, signal: AbortSignal.abort() });
    const early = fixture.run(stream, { to: queue });
    stream.destroy(new Error("gone"));

    await expect(early).rejects.toThrow("gone");
    expect([await badId, whole.status, aborted.status, closed]).toEqual(["CONFIG_INVALID", "published", "stopped", 1]);
  });
});
