import { createReadStream } from "node:fs";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { csvRows } from "../../src/fanout/csv-rows.ts";
import { thrownBy } from "../ledger/ledger-database.ts";
import { inPieces, read, readCsv } from "./rows-read.ts";

describe("the rows of a CSV file", () => {
  it("come by the names of the header, past a byte order mark, CRLF and blank lines", async () => {
    const rows = await readCsv('\ufeffid,name\r\n\r\n1,Anna\r\n   \r\n2,"Ben, jr."\r\n');

    expect(rows).toEqual([
      [3, { id: "1", name: "Anna" }],
      [5, { id: "2", name: "Ben, jr." }],
    ]);
  });

  // Planted: the parser's own count of lines, which takes a quoted CRLF for two.
  it("name the line that they begin in, whatever line breaks their fields hold", async () => {
    const rows = await readCsv('id,note\n1,"a\r\nb\r\nc"\n2,"a\nb"\n\n3,"a\rb"\r\n4,x\r5,y');

    expect(rows.map(([line]) => line)).toEqual([2, 5, 8, 10, 11]);
  });

  it("are rejected with their line where fields are missing or too many, and the others come", async () => {
    const rows = await readCsv("id,name\n1\n2,Ben\n3,Cleo,x\n4,Dora\n");

    expect(rows).toEqual([
      [2, "it has 1 columns instead of 2"],
      [3, { id: "2", name: "Ben" }],
      [4, "it has 3 columns instead of 2"],
      [5, { id: "4", name: "Dora" }],
    ]);
  });

  it("take a quote that stands within a field for itself", async () => {
    const rows = await readCsv('id,size\n1,5" pipe\n2,"3"" pipe"\n3,"a"b\n');

    expect(rows.map(([, row]) => row)).toEqual([
      { id: "1", size: '5" pipe' },
      { id: "2", size: '3" pipe' },
      { id: "3", size: '"a"b' },
    ]);
  });

  it.each([
    ["a semicolon", "id;name;city\n1;Anna, B.;Rome\n"],
    ["a tab", "id\tname\tcity\n1\tAnna, B.\tRome\n"],
    ["a comma", 'id,name,city\n1,"Anna, B.",Rome\n'],
    ["a comma, with semicolons in a quoted name", 'id,name,"city"\n1,"Anna, B.",Rome'],
  ])("are parted by what the header has most of: %s", async (_what, content) => {
    for (const size of [1, 7, 1_000]) {
      expect(await readCsv(content, {}, size)).toEqual([[2, { id: "1", name: "Anna, B.", city: "Rome" }]]);
    }
  });

  it("are parted and named as they are told to", async () => {
    const rows = await readCsv("1|Anna\n2|Ben\n", { delimiter: "|", columns: ["id", "name"] });

    expect(rows).toEqual([
      [1, { id: "1", name: "Anna" }],
      [2, { id: "2", name: "Ben" }],
    ]);
  });

  // Planted: `row[name] = value` for every name, which loses the field.
  it("have a field `__proto__` of their own, and the prototype of every object", async () => {
    const rows = await readCsv("id,__proto__,constructor\n1,polluted,x\n");

    const row = rows[0]?.[1] as object;
    expect(Object.entries(row)).toEqual([
      ["id", "1"],
      ["__proto__", "polluted"],
      ["constructor", "x"],
    ]);
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  });

  it("are read in UTF-16 where the file says so, and in the encoding that is given", async () => {
    const utf16 = Buffer.from("\ufeffid,name\n1,Žofie 🎟\n", "utf16le");
    const latin = Buffer.from("id,name\n1,Müller\n", "latin1");

    expect(await readCsv(utf16, {}, 3)).toEqual([[2, { id: "1", name: "Žofie 🎟" }]]);
    expect(await readCsv(latin, { encoding: "windows-1252" }, 3)).toEqual([[2, { id: "1", name: "Müller" }]]);
  });

  it("come whole when the text is cut within a character", async () => {
    async function* halves(): AsyncGenerator<string> {
      yield "id,name\n1,\ud83c";
      yield "\udf9f Anna\n";
    }

    expect(await read(csvRows(halves()))).toEqual([[2, { id: "1", name: "🎟 Anna" }]]);
  });

  it("are what was written, in pieces of any size, each with its line", async () => {
    const field = fc.string({
      unit: fc.constantFrom("a", "ü", "🎟", ",", ";", '"', "\n", "\r\n", "\r", " ", "\t"),
      maxLength: 6,
    });
    const table = fc.array(fc.tuple(field, field, field), { maxLength: 12 });

    await fc.assert(
      fc.asyncProperty(table, fc.integer({ min: 1, max: 9 }), fc.constantFrom("\n", "\r\n"), async (fields, size, end) => {
        const quoted = fields.map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(","));
        const text = ["a,b,c", ...quoted].join(end);
        let line = 2;
        const expected = fields.map(([a, b, c]) => {
          const at = line;
          line += 1 + ([a, b, c].join("x").match(/\r\n|\r|\n/g)?.length ?? 0);
          return [at, { a, b, c }];
        });

        expect(await readCsv(text, {}, size)).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });
});

describe("a CSV file that cannot be read", () => {
  it.each([
    ["an empty file", "", {}, "CONFIG_INVALID", /first line/],
    ["a column without a name", "id,,x\n1,2,3", {}, "CONFIG_INVALID", /line 1: column 2 has no name/],
    ["two columns of a name", "id,name,id\n", {}, "CONFIG_INVALID", /line 1: two columns are called "id"/],
    ["an encoding that there is not", "id\n1", { encoding: "klingon" }, "CONFIG_INVALID", /no encoding "klingon"/],
  ])("is an error: %s", async (_what, content, options, code, message) => {
    const error = await thrownBy(readCsv(content, options));

    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
  });

  it("gives the rows before a quote that is never closed, then the line of the quote", async () => {
    const rows = csvRows(inPieces('id,name\n1,Anna\n2,"Ben\n3,Cleo\n', 4));
    const first = await rows[Symbol.asyncIterator]().next();

    const error = await thrownBy(read(rows));

    expect(first.value).toEqual({ id: "1", name: "Anna" });
    expect([error.code, error.message]).toEqual(["ROW_INVALID", expect.stringMatching(/begins in line 3 .*never closed/)]);
    expect(error.message).not.toContain("Ben");
  });

  it("does not keep the rest of the file in memory for a quote that is never closed", async () => {
    let pieces = 0;
    async function* endless(): AsyncGenerator<string> {
      yield 'id,name\n1,"Anna\n';
      for (; pieces < 1_000; pieces += 1) yield "x,y\n".repeat(5_000);
    }

    const error = await thrownBy(read(csvRows(endless())));

    expect([error.code, error.message]).toEqual(["ROW_INVALID", expect.stringMatching(/begins in line 2 is longer than 1 MB/)]);
    expect(pieces).toBeLessThan(100);
  });

  it("gives the rows before the first that is not UTF-8, then its line", async () => {
    const content = Buffer.concat([Buffer.from("id,name\n1,Anna\n2,Žofie\n"), Buffer.from("3,Müller\n", "latin1")]);
    const rows = csvRows(inPieces(content, 1_000));
    const iterator = rows[Symbol.asyncIterator]();
    const before = [(await iterator.next()).value, (await iterator.next()).value];

    const error = await thrownBy(iterator.next());

    expect(before).toEqual([
      { id: "1", name: "Anna" },
      { id: "2", name: "Žofie" },
    ]);
    expect([error.code, error.message]).toEqual(["CONFIG_INVALID", expect.stringMatching(/line 4 is not UTF-8/)]);
  });

  it("passes on what its stream says, also when that broke before anybody read it", async () => {
    const stream = createReadStream("/nowhere/employees.csv");
    const rows = csvRows(stream);
    await new Promise((resolve) => stream.once("close", () => resolve(undefined)));

    await expect(read(rows)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("closes its stream when nobody reads on, and when nobody ever read", async () => {
    const [begun, untouched] = [new PassThrough(), new PassThrough()];
    begun.write("id\n1\n2\n3\n");
    for await (const _row of csvRows(begun)) break;
    await csvRows(untouched)[Symbol.asyncIterator]().return?.();

    expect([begun.destroyed, untouched.destroyed]).toEqual([true, true]);
  });
});
