import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type EmployeeRow, readEmployees } from "../../src/cli/demo/read-employees.ts";
import { employeesCsv } from "../support/employees-csv.ts";

const PATH = fileURLToPath(new URL("../../examples/employees.csv", import.meta.url));
const text = readFileSync(PATH, "utf8");
const rows = await rowsOf(PATH);
const employees = rows.flatMap((row) => ("employee" in row ? [row.employee] : []));

describe("examples/employees.csv", () => {
  it("is what its generator makes, byte for byte", () => {
    expect(readFileSync(PATH).equals(Buffer.from(employeesCsv()))).toBe(true);
  });

  it("begins with a byte order mark and ends its rows with CRLF", () => {
    expect([...readFileSync(PATH).subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
    expect(text.startsWith("\u{feff}id,name,email,department\r\n")).toBe(true);
    expect(text.match(/(^|\n)\d+,[^"\n]*[^\r]\n/)).toBeNull();
  });

  it("is kept as it is by git", () => {
    const attributes = readFileSync(new URL("../../.gitattributes", import.meta.url), "utf8");

    expect(attributes.split("\n")).toContain("examples/employees.csv -text");
  });

  it("names 2,100 users, 60 of them twice", () => {
    const ids = employees.map((employee) => employee.id);

    expect(new Set(ids).size).toBe(2_100);
    expect(ids.length).toBe(2_160);
  });

  it("lists some users again right below and others far below", () => {
    const first = new Map<number, number>();
    const distances: number[] = [];
    for (const [index, { id }] of employees.entries()) {
      const before = first.get(id);
      if (before === undefined) first.set(id, index);
      else distances.push(index - before);
    }

    expect(distances.filter((distance) => distance === 1).length).toBeGreaterThan(10);
    expect(distances.filter((distance) => distance > 100).length).toBeGreaterThan(10);
  });

  it("has exactly two rows that cannot be read", () => {
    const rejected = rows.filter((row) => "rejected" in row);

    expect(rejected).toEqual([
      { line: 969, rejected: "2 columns instead of 4" },
      { line: 2_048, rejected: 'id "EMP-25O8" is not a whole number' },
    ]);
    expect(text.split("\n")[968]).toBe('2507,"Lena Vogt"\r');
    expect(text.split("\n")[2_047]).toMatch(/^EMP-25O8,/);
  });

  it("has blank lines between its rows", () => {
    expect(text.match(/\r\n\r\n\d/g)?.length).toBeGreaterThan(10);
  });

  it.each([
    ["quotes", '"'],
    ["commas", ","],
    ["line breaks", "\n"],
  ])("has %s in names or departments", (_, sign) => {
    const holders = employees.filter(({ name, department }) => name.includes(sign) || department.includes(sign));

    expect(holders.length).toBeGreaterThan(50);
  });

  it.each([
    "Latin",
    "Cyrillic",
    "Greek",
    "Georgian",
    "Armenian",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Bengali",
    "Tamil",
    "Thai",
  ])("has names in %s", (script) => {
    const pattern = new RegExp(`\\p{Script=${script}}`, "u");

    expect(employees.filter(({ name }) => pattern.test(name)).length).toBeGreaterThan(10);
  });

  it("has letters with diacritics and letters beyond the basic plane", () => {
    expect(employees.some(({ name }) => /[äöüéøłñ]/.test(name))).toBe(true);
    expect(employees.some(({ name }) => /[\u{10000}-\u{10ffff}]/u.test(name))).toBe(true);
  });
});

async function rowsOf(path: string): Promise<EmployeeRow[]> {
  const read: EmployeeRow[] = [];
  for await (const row of readEmployees(path)) read.push(row);
  return read;
}
