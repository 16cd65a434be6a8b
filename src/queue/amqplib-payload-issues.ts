/** A dead letter's record keeps the first 1,000 characters of its reason: all of the issues told fit in. */
const MAX_ISSUES = 5;
const MAX_PATH_LENGTH = 60;
const MAX_TEXT_LENGTH = 100;
const MAX_PATH_PARTS = 20;

/** A longer message repeats what it is about. */
const MAX_READ_LENGTH = 1_000;
/** So many values are looked for in a message; more would cost more than the message is worth. */
const MAX_VALUES = 10_000;
/** Shorter values are struck out as whole words only, or hardly a message would be left. */
const SHORT_LENGTH = 4;

const STRUCK_OUT = "***";
const WITHHELD = "refused, with a message that is not repeated here";

/**
 * What a schema has against a payload, in one line: the first five issues, each with its path and its message, both shortened.
 * A value of the payload that a message quotes whole is struck out, since it may be secret; where that cannot be made sure, the message
 * is withheld. Keys are not struck out: they are the paths.
 */
export function issuesText(issues: readonly unknown[], payload: unknown): string {
  const told: string[] = [];
  for (let at = 0; at < issues.length && at < MAX_ISSUES; at++) told.push(issueText(issues[at], payload));
  if (issues.length === 0) told.push("no issue is named");
  if (issues.length > MAX_ISSUES) told.push(`and ${issues.length - MAX_ISSUES} more`);
  return told.join("; ");
}

function issueText(issue: unknown, payload: unknown): string {
  const { message, path } = Object(issue) as { readonly message?: unknown; readonly path?: unknown };
  const keys = Array.isArray(path)
    ? Array.from({ length: Math.min(path.length, MAX_PATH_PARTS) }, (_, at) => keyOf(path[at]))
    : [];
  const text = typeof message === "string" ? withoutValues(message, valueAt(payload, keys)) : undefined;
  return `${shortened(pathText(keys), MAX_PATH_LENGTH)}: ${shortened(text || WITHHELD, MAX_TEXT_LENGTH)}`;
}

function keyOf(part: unknown): string {
  const key: unknown = typeof part === "object" && part !== null && "key" in part ? part.key : part;
  return String(key);
}

function pathText(keys: readonly string[]): string {
  const text = keys.map((key) => {
    if (/^\d{1,16}$/.test(key)) return `[${key}]`;
    const name = key.slice(0, MAX_PATH_LENGTH);
    return /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
  });
  return text.join("").replace(/^\./, "") || "the payload";
}

/** The value that an issue is about; of a missing one, what it is missing in. */
function valueAt(payload: unknown, keys: readonly string[]): unknown {
  let value = payload;
  for (const key of keys) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return value;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

/** The message with the texts and numbers of `value` struck out. `undefined`: there is too much to look for, or to look through. */
function withoutValues(message: string, value: unknown): string | undefined {
  if (message.length > MAX_READ_LENGTH) return undefined;
  const found = quotedIn(message.toLowerCase(), value);
  if (found === undefined) return undefined;
  if (found.size === 0) return message;
  // The longest first: a part of one that is struck out would leave the rest of it. In one pass: nothing is struck out twice.
  const longestFirst = [...found].sort((one, other) => other.length - one.length);
  return message.replace(new RegExp(longestFirst.map(patternOf).join("|"), "giu"), STRUCK_OUT);
}

/** Those texts and numbers of `value` that the message repeats, as they are or escaped. `undefined`: too many to look for. */
function quotedIn(message: string, value: unknown): Set<string> | undefined {
  const found = new Set<string>();
  const open = [value];
  for (let seen = 1; open.length > 0; seen++) {
    if (seen > MAX_VALUES) return undefined;
    const next = open.pop();
    if (typeof next === "object" && next !== null) {
      const inner = Object.values(next);
      if (inner.length > MAX_VALUES) return undefined;
      open.push(...inner);
    } else if (typeof next === "string" || typeof next === "number") {
      for (const text of spellings(String(next))) if (message.includes(text.toLowerCase())) found.add(text);
    }
  }
  return found;
}

function spellings(text: string): string[] {
  const trimmed = text.length > MAX_READ_LENGTH ? "" : text.trim();
  return trimmed === "" ? [] : [trimmed, JSON.stringify(trimmed).slice(1, -1)];
}

function patternOf(text: string): string {
  const literal = text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  return text.length < SHORT_LENGTH ? `(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])` : literal;
}

function shortened(text: string, maxLength: number): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  return line.length <= maxLength ? line : `${line.slice(0, maxLength - 1).toWellFormed()}…`;
}
