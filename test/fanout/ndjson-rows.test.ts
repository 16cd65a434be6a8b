import { describe, expect, it } from "vitest";
import { ndjsonRows } from "../../src/fanout/ndjson-rows.ts";
import { thrownBy } from "../ledger/ledger-database.ts";
import { inPieces, read } from "./rows-read.ts";

describe("the rows of an NDJSON file", () => {
  it("are the values of its lines, past a byte order mark, CRLF and blank lines, in pieces of any size", async () => {
    const content = '\ufeff{"id":1}\r\n\r\n{"id":"ž 🎟"}\n  \n[3]';

    for (const size of [1, 5, 1_000]) {
      expect(await read(ndjsonRows(inPieces(content, size)))).toEqual([
        [1, { id: 1 }],
        [3, { id: "ž 🎟" }],
        [5, [3]],
      ]);
    }
  });

  it("are rejected with their line where they are not JSON, and the others come", async () => {
    const rows = await read(ndjsonRows(inPieces('{"id":1}\n{"secret":"s3cret"\n{"id":3}\n')));

    expect(rows).toEqual([
      [1, { id: 1 }],
      [2, "it is not JSON"],
      [3, { id: 3 }],
    ]);
  });

  it("are rejected where they are too long, without being kept", async () => {
    const content = `{"id":1}\n"${"x".repeat(3_000_000)}"\n{"id":3}\n`;

    const rows = await read(ndjsonRows(inPieces(content, 100_000)));

    expect(rows).toEqual([
      [1, { id: 1 }],
      [2, "it is longer than 1 MB"],
      [3, { id: 3 }],
    ]);
  });

  it("end with the line that is not UTF-8", async () => {
    const error = await thrownBy(read(ndjsonRows(inPieces(Buffer.from('{"id":1}\n{"name":"Müller"}\n', "latin1")))));

    expect([error.code, error.message]).toEqual(["CONFIG_INVALID", expect.stringMatching(/line 2 is not UTF-8/)]);
  });
});
