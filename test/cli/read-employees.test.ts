import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type EmployeeRow, readEmployees } from "../../src/cli/demo/read-employees.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe("readEmployees", () => {
  it("yields each row with the line it begins on, past blank lines and line breaks in fields", async () => {
    const path = await fileOf(
      'id,name,email,department\n\n1,Ana,ana@example.org,"Sales\nEMEA"\n\n2,Noah,noah@example.org,Legal\n',
    );

    const rows = await read(path);

    expect(rows).toEqual([
      { line: 3, employee: { id: 1, name: "Ana", email: "ana@example.org", department: "Sales\nEMEA" } },
      { line: 6, employee: { id: 2, name: "Noah", email: "noah@example.org", department: "Legal" } },
    ]);
  });

  it("reads a file with a byte order mark and CRLF as it reads one without", async () => {
    const path = await fileOf('\u{feff}id,name,email,department\r\n7,"O""Neil, Tess",t@example.org,Legal\r\n');

    const rows = await read(path);

    expect(rows).toEqual([{ line: 2, employee: { id: 7, name: 'O"Neil, Tess', email: "t@example.org", department: "Legal" } }]);
  });

  it.each([
    ["1,Ana,ana@example.org", "3 columns instead of 4"],
    ["1,Ana,ana@example.org,Sales,EMEA", "5 columns instead of 4"],
    [",Ana,ana@example.org,Sales", 'id "" is not a whole number'],
    ["-1,Ana,ana@example.org,Sales", 'id "-1" is not a whole number'],
    ["1e3,Ana,ana@example.org,Sales", 'id "1e3" is not a whole number'],
    ["1, ,ana@example.org,Sales", "no name"],
  ])("rejects the row %s and goes on", async (row, reason) => {
    const path = await fileOf(`id,name,email,department\n${row}\n2,Noah,noah@example.org,Legal\n`);

    const rows = await read(path);

    expect(rows[0]).toEqual({ line: 2, rejected: reason });
    expect(rows[1]).toMatchObject({ line: 3, employee: { id: 2 } });
  });

  it.each([
    ["another header", "name,id\nAna,1\n"],
    ["a quote that is never closed", 'id,name,email,department\n1,"Ana,ana@example.org,Sales\n'],
  ])("refuses a file with %s", async (_, text) => {
    const path = await fileOf(text);

    await expect(read(path)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("refuses a file that is not there", async () => {
    const path = join(await folder(), "none.csv");

    await expect(read(path)).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("none.csv") });
  });
});

async function read(path: string): Promise<EmployeeRow[]> {
  const rows: EmployeeRow[] = [];
  for await (const row of readEmployees(path)) rows.push(row);
  return rows;
}

async function fileOf(text: string): Promise<string> {
  const path = join(await folder(), "employees.csv");
  await writeFile(path, text);
  return path;
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "exclaim-employees-"));
  folders.push(path);
  return path;
}
