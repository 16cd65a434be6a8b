import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FanOutProgress } from "../../src/fanout/fan-out.ts";
import { csvRows, RejectedRow } from "../../src/fanout/fan-out.ts";
import type { StandardSchema } from "../../src/standard-schema.ts";
import { type ImportFixture, importFixture, importId, jobKeys, type Person, people } from "./import-fixture.ts";
import { inPieces } from "./rows-read.ts";

let fixture: ImportFixture;

beforeAll(async () => {
  fixture = await importFixture();
});

afterAll(async () => {
  await fixture.close();
});

describe("a fan-out", () => {
  it("F2 makes one job of each row, in order, under an id of the import and the row", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const progress: FanOutProgress[] = [];

    const result = await fixture.run(people(5), { id, to: queue, chunkSize: 2, onProgress: (told) => progress.push(told) });

    const jobs = await queue.getJobs(["waiting"], 0, -1, true);
    expect(result).toEqual({ id, status: "published", resumed: false, rows: 5, published: 5, rejected: 0, duplicated: 0 });
    expect(jobs.map((job) => [job.id, job.data])).toEqual([1, 2, 3, 4, 5].map((n) => [`imp-${id}-p${n}`, { id: `p${n}` }]));
    expect(progress.map(({ rows, published }) => [rows, published])).toEqual([
      [2, 2],
      [4, 4],
      [5, 5],
    ]);
    expect(await fixture.imports.get(id)).toMatchObject({ state: "published", rows: 5, pending: 5, source: "rows" });
  });

  it("takes a CSV stream, what makes the message, and what people call the source", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const csv = csvRows(inPieces('\ufeffnr;name\r\n7;"Ann;a"\r\n8;Ben\r\n'));

    await fixture.run(csv, {
      id,
      to: queue,
      key: (row) => Number(row.nr),
      message: ({ name }) => ({ greet: name }),
      source: "people.csv",
      settings: { delimiter: ";" },
    });

    const jobs = await queue.getJobs(["waiting"], 0, -1, true);
    expect(jobs.map((job) => [job.id, job.data])).toEqual([
      [`imp-${id}-7`, { greet: "Ann;a" }],
      [`imp-${id}-8`, { greet: "Ben" }],
    ]);
    expect(await fixture.imports.get(id)).toMatchObject({ source: "people.csv", settings: { delimiter: ";" } });
    expect((await fixture.report(id)).map(({ line, key, state }) => [line, key, state])).toEqual([
      [2, "7", "pending"],
      [3, "8", "pending"],
    ]);
  });

  it("publishes a key once, of its first row, and records the other rows as duplicated", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const rows = ["a", "b", "a", "c", "b", "a"].map((key, at) => ({ id: key, at }));

    const result = await fixture.run(rows, { id, to: queue, chunkSize: 2 });

    const jobs = await queue.getJobs(["waiting"], 0, -1, true);
    expect(jobs.map(({ data }) => data.at)).toEqual([0, 1, 3]);
    expect(result).toMatchObject({ rows: 6, published: 3, duplicated: 3, rejected: 0 });
    expect(await fixture.imports.get(id)).toMatchObject({ rows: 6, pending: 3, duplicated: 3 });
  });

  it("F8 adds nothing when the same rows are imported again under the same id", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    await fixture.run(people(7), { id, to: queue, chunkSize: 3 });
    await queue.drain();

    const again = await fixture.run(people(7), { id, to: queue, chunkSize: 3 });

    expect(again).toEqual({ id, status: "published", resumed: true, rows: 7, published: 0, rejected: 0, duplicated: 0 });
    expect(await jobKeys(queue, id)).toEqual([]);
    expect(await fixture.imports.get(id)).toMatchObject({ state: "published", rows: 7, pending: 7 });
  });

  it("refuses to go on with another source", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    await fixture.run(people(7), { id, to: queue, fingerprint: "a" });

    const other = fixture.run(people(9), { id, to: queue, fingerprint: "b" });
    const shorter = fixture.run(people(3), { id, to: queue });

    await expect(other).rejects.toMatchObject({ code: "IMPORT_MISMATCH" });
    await expect(shorter).rejects.toMatchObject({
      code: "IMPORT_MISMATCH",
      message: expect.stringContaining("has 3 rows, and 7"),
    });
  });
});

describe("rows that cannot be used", () => {
  it("are recorded with line and reason, without their values, and the others are published", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const rows: (Record<string, unknown> | RejectedRow)[] = [
      { key: "ok" },
      { key: "" },
      {},
      { key: Number.NaN },
      { key: -0 },
      { key: { secret: 1 } },
      { key: "undefined" },
      { key: "nul\0" },
      new RejectedRow(90, "it is not JSON"),
      { key: "x".repeat(1_001) },
      { throws: true, key: "s3cret" },
      { key: "s3cret", badMessage: true },
      { key: "no message", noMessage: true },
      { key: 12n },
    ];

    const result = await fixture.run(rows, {
      id,
      to: queue,
      key: (row) => {
        if (row.throws) throw new TypeError(`no good: ${row.key}`);
        return row.key as string;
      },
      message: (row) => {
        if (row.badMessage) throw new RangeError(`no good: ${row.key}`);
        return row.noMessage ? undefined : String(row.key);
      },
    });

    const rejected = (await fixture.report(id)).filter(({ state }) => state === "rejected");
    expect(result).toMatchObject({ status: "published", rows: 14, published: 2, rejected: 12 });
    expect(await jobKeys(queue, id)).toEqual(["ok", "12"]);
    expect(rejected.map(({ line, code, reason }) => [line, code, reason])).toEqual([
      [2, "ROW_INVALID", "it has no key"],
      [3, "ROW_INVALID", "it has no key"],
      [4, "ROW_INVALID", "its key is no usable number"],
      [5, "ROW_INVALID", "its key is no usable number"],
      [6, "ROW_INVALID", "its key is an object, not a text or a number"],
      [7, "ROW_INVALID", 'its key is "undefined", the text of a missing value'],
      [8, "ROW_INVALID", "its key has a NUL character in it"],
      [9, "ROW_INVALID", "it is not JSON"],
      [10, "ROW_INVALID", "its key is longer than 1000 characters"],
      [11, "ROW_INVALID", "key() threw TypeError"],
      [12, "ROW_INVALID", "message() threw RangeError"],
      [13, "ROW_INVALID", "message() made nothing of it"],
    ]);
  });

  it("are told by a function, at once or later", async () => {
    const [now, later] = [importId(), importId()];
    const validate = (row: Person): string | undefined => {
      if (row.id === "p4") throw new Error("p4");
      return row.id === "p2" ? "no second place" : undefined;
    };
    const to = fixture.openQueue();

    await fixture.run(people(4), { id: now, to, validate });
    await fixture.run(people(4), { id: later, to, validate: async (row) => validate(row) });

    const expected = [
      [1, "pending", undefined],
      [2, "rejected", "no second place"],
      [3, "pending", undefined],
      [4, "rejected", "validate threw Error"],
    ];
    for (const id of [now, later]) {
      expect((await fixture.report(id)).map(({ line, state, reason }) => [line, state, reason])).toEqual(expected);
    }
  });

  it("are told by a Standard Schema, which makes the row of what it accepts", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const schema: StandardSchema<{ readonly nr: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value) => {
          const { id: text } = value as Person;
          if (/^p\d$/.test(text)) return { value: { nr: Number(text.slice(1)) } };
          const issues = [
            { message: "must be p and a digit", path: ["id"] },
            { message: `not "${text}"`, path: [{ key: "id" }] },
          ];
          return { issues };
        },
      },
    };

    await fixture.run([...people(2), { id: "s3cret" }], {
      id,
      to: queue,
      validate: schema as unknown as StandardSchema<Person>,
      key: (row) => (row as unknown as { nr: number }).nr,
    });

    const [, , third] = await fixture.report(id);
    expect((await queue.getJobs(["waiting"], 0, -1, true)).map(({ data }) => data)).toEqual([{ nr: 1 }, { nr: 2 }]);
    expect(third).toMatchObject({ line: 3, state: "rejected", reason: "id: must be p and a digit; id: it is refused" });
  });

  it("stop the import when they are more than maxRejected, over all of its runs", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    const rows = [{ id: "a" }, { id: "" }, { id: "b" }, { id: "" }, { id: "c" }, { id: "" }, { id: "d" }, { id: "e" }];

    const first = await fixture.run(rows, { id, to: queue, chunkSize: 2, maxRejected: 1 }).catch((error: unknown) => error);
    const state = await fixture.imports.get(id);
    const second = await fixture.run(rows, { id, to: queue, chunkSize: 2, maxRejected: 1 }).catch((error: unknown) => error);
    const third = await fixture.run(rows, { id, to: queue, chunkSize: 2, maxRejected: 3 });

    expect(first).toMatchObject({ code: "TOO_MANY_REJECTED", message: expect.stringContaining("line 2: it has no key") });
    expect(state).toMatchObject({ state: "failed", rows: 4, pending: 2, rejected: 2 });
    expect(second).toMatchObject({ code: "TOO_MANY_REJECTED" });
    expect(third).toMatchObject({ status: "published", resumed: true, rows: 8, rejected: 3, published: 3 });
    expect(await jobKeys(queue, id)).toEqual(["a", "b", "c", "d", "e"]);
  });
});
