import { table, whole } from "../table.ts";
import type { CaseReport } from "./bench-case.ts";

const HEADS = ["case", "median/s", "min to max", "to hand-written", "to no-op", "to limit"] as const;

/** The same table for the console and, by `markdownTable`, for a page. Columns that no case fills are left out. */
export function printCases(cases: readonly CaseReport[]): string {
  const { heads, rows } = cellsOf(cases);
  return [table(heads, rows), ...cases.flatMap(factLines)].join("\n");
}

export function markdownTable(cases: readonly CaseReport[]): string {
  const { heads, rows } = cellsOf(cases);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = heads.map((_, column) => (column === 0 ? "---" : "---:"));
  const facts = cases.flatMap(factLines).map((fact) => `- ${fact}`);
  return [line(heads), line(rule), ...rows.map(line), ...(facts.length === 0 ? [] : ["", ...facts])].join("\n");
}

function cellsOf(cases: readonly CaseReport[]): { readonly heads: readonly string[]; readonly rows: readonly string[][] } {
  const rows = cases.map(({ name, perSecond, ratios }) => [
    name,
    whole(perSecond.median),
    `${whole(perSecond.min)} to ${whole(perSecond.max)}`,
    ratio(ratios.toHandWritten),
    ratio(ratios.toNoop),
    ratio(ratios.toLimit),
  ]);
  const filled = HEADS.map((_, column) => rows.some((cells) => cells[column] !== ""));
  const keep = <T>(cells: readonly T[]): T[] => cells.filter((_, column) => filled[column]);
  return { heads: keep(HEADS), rows: rows.map(keep) };
}

function ratio(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(2);
}

function factLines({ name, facts }: CaseReport): string[] {
  if (facts === undefined) return [];
  const list = Object.entries(facts).map(([what, figure]) => `${what} ${figureOf(figure)}`);
  return [`${name}: ${list.join(", ")}`];
}

/** Three digits that matter, and all of those before the point. */
function figureOf(value: number): string {
  return Math.abs(value) >= 100 ? whole(value) : String(Number(value.toPrecision(3)));
}
