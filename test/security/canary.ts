import { inspect } from "node:util";

/** A secret as a person would choose it: with characters that addresses, JSON and patterns escape. */
export const CANARY = 'k4n4ry-"p@ss/w0rd\\x';

const SPELLINGS = [
  CANARY,
  encodeURIComponent(CANARY),
  JSON.stringify(CANARY).slice(1, -1),
  Buffer.from(CANARY).toString("base64"),
];

/** In which spellings the secret stands in a text, or anywhere in what is thrown: its causes, its fields, hidden ones, its JSON. */
export function canariesIn(told: unknown): readonly string[] {
  const texts =
    typeof told === "string" ? [told] : [inspect(told, { depth: Infinity, showHidden: true }), jsonOf(told), ...chainOf(told)];
  return SPELLINGS.filter((spelling) =>
    texts.some((text) => text.includes(spelling) || text.includes(inspect(spelling).slice(1, -1))),
  );
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)) ?? "";
  } catch {
    return "";
  }
}

/** The text and the stack of an error and of all that caused it. */
function chainOf(error: unknown): string[] {
  const texts: string[] = [];
  for (let each = error; each instanceof Error; each = each.cause) texts.push(String(each), each.stack ?? "");
  return texts;
}
