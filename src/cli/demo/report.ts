import type { ImportReport } from "./import-employees.ts";
import { isClean, type Score } from "./score.ts";
import { TITLES, VARIANTS, type Variant } from "./variant.ts";

/** The JSON report: one entry a handler. */
export type Scores = Readonly<Record<Variant, Score>>;

/** Headings of two lines each, so that a row fits on a terminal. */
const COLUMNS: readonly (readonly [string, string, keyof Score])[] = [
  ["", "users", "users"],
  ["", "vouchers", "vouchers"],
  ["messages", "delivered", "delivered"],
  ["users without", "a voucher", "withoutVoucher"],
  ["vouchers", "overwritten", "overwritten"],
  ["users told of", "another's", "notifiedWrong"],
  ["users with", "two", "doubled"],
  ["messages", "lost", "lost"],
  ["time", "taken", "ms"],
];

/** The table, one row a handler. */
export function tableOf(scores: Scores): string {
  const rows = [
    ["", ...COLUMNS.map(([upper]) => upper)],
    ["handler", ...COLUMNS.map(([, lower]) => lower)],
    ...VARIANTS.map((variant) => [TITLES[variant], ...COLUMNS.map(([, , key]) => cellOf(scores[variant], key))]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "),
  );
  lines.splice(2, 0, "-".repeat(lines[1]?.length ?? 0));
  return lines.map((line) => line.trimEnd()).join("\n");
}

/** What the file held. */
export function importSummary(report: ImportReport): string {
  const { rows, users, duplicates, rejected } = report;
  const lines = rejected.map(({ line, reason }) => `  line ${line} rejected: ${reason}`);
  return [`${rows} rows read: ${users} users, ${duplicates} of them listed twice`, ...lines].join("\n");
}

/** Whether the demo showed what it is for, and what it means in one sentence. */
export function verdictOf(scores: Scores): { ok: boolean; text: string } {
  if (!isClean(scores.withClaim)) {
    return { ok: false, text: "withClaim() did not keep its promise: its row must hold no fault. Please report this." };
  }
  if (isClean(scores.naive)) {
    return { ok: false, text: "No race happened in the first row, so this run shows nothing: run it again." };
  }
  return {
    ok: true,
    text: "withClaim(): every user has one voucher of their own, was told of that one, and no message is missing.",
  };
}

function cellOf(score: Score, key: keyof Score): string {
  return key === "ms" ? `${(score.ms / 1000).toFixed(1)} s` : score[key].toLocaleString("en-US");
}
