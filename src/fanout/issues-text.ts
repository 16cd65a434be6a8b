import type { StandardIssue } from "../standard-schema.ts";

const MAX_ISSUES = 3;
const MAX_MESSAGE_LENGTH = 200;
const MAX_VALUES = 1_000;
/** Shorter values stand in nearly every message by chance, and give nothing away. */
const MIN_VALUE_LENGTH = 3;

/**
 * What a schema has against a row, in one line: the first three issues, each with its path.
 * A message that repeats a value of the row is withheld: the value may be a secret.
 */
export function issuesText(issues: readonly StandardIssue[], row: unknown): string {
  const values = valuesOf(row).filter((value) => value.length >= MIN_VALUE_LENGTH);
  const told = issues.slice(0, MAX_ISSUES).map(({ message, path = [] }) => {
    const text = String(message).toLowerCase();
    const isTold = values.length < MAX_VALUES && !values.some((value) => text.includes(value.toLowerCase()));
    const where = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return `${where === "" ? "the row" : where}: ${isTold ? String(message).slice(0, MAX_MESSAGE_LENGTH) : "it is refused"}`;
  });
  if (issues.length > MAX_ISSUES) told.push(`and ${issues.length - MAX_ISSUES} more`);
  return told.join("; ");
}

/** The texts and numbers of a row, at most so many that they can be looked for. */
function valuesOf(row: unknown): string[] {
  const values: string[] = [];
  const open: unknown[] = [row];
  for (let seen = 0; open.length > 0 && seen < MAX_VALUES && values.length < MAX_VALUES; seen += 1) {
    const next = open.pop();
    if (typeof next === "object" && next !== null) open.push(...Object.values(next).slice(0, MAX_VALUES));
    else if (typeof next === "string" || typeof next === "number" || typeof next === "bigint") values.push(String(next));
  }
  return values;
}
