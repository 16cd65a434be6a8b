import type { Answer, Query } from "./faulty-database.ts";
import { statementKind } from "./statement-kind.ts";

/** A lease that a statement granted or renewed. */
export interface Grant {
  readonly resource: string;
  readonly token: number;
  readonly ttlMs: number;
}

/** What the answer to a statement of the library grants, by its text, values and columns. */
export function grantsOf(query: Query, answer: Answer): readonly Grant[] {
  const kind = statementKind(query.text);
  const isOfKeys = /\.leases\b/.test(query.text);
  if (kind === "claim") return isOfKeys ? takenKeys(query, answer) : claimedRows(query, answer);
  if (kind === "renewal") return isOfKeys ? renewed(query, answer, keyAt) : renewed(query, answer, rowAt);
  return [];
}

/** Where the answers to the two statements that claim rows have the row's id and its token, after what says that a row was claimed. */
const KNOWN_CLAIMANTS = { said: 0, resource: 3, token: 4 };
const NEW_CLAIMANTS = { said: 2, resource: 5, token: 6 };

/** `$5` is the ttl. */
function claimedRows({ values = [] }: Query, { rows, fields }: Answer): readonly Grant[] {
  const isOfKnown = fields[0]?.name === "status";
  const at = isOfKnown ? KNOWN_CLAIMANTS : NEW_CLAIMANTS;
  return rows.flatMap((row) => {
    const cells = row as readonly unknown[];
    const isClaimed = isOfKnown ? cells[at.said] === "claimed" : cells[at.said] !== null;
    if (!isClaimed) return [];
    return [{ resource: `voucher_item:${cells[at.resource]}`, token: Number(cells[at.token]), ttlMs: Number(values[4]) }];
  });
}

/** `$1` is the resource, `$2` the keys, `$5` the ttl; the answer has the tokens in their order. */
function takenKeys({ values = [] }: Query, { rows }: Answer): readonly Grant[] {
  const [name, keys] = values as [string, readonly string[]];
  return rows.flatMap((row, index) => {
    const token = Array.isArray(row) ? row[0] : (row as { readonly token: unknown }).token;
    if (token === null || token === undefined) return [];
    return [{ resource: `${name}:${keys[index]}`, token: Number(token), ttlMs: Number(values[4]) }];
  });
}

interface Place {
  readonly resource: string;
  readonly token: number;
  readonly ttlMs: number;
}

/** `$4` tokens, `$5` row ids, `$6` the ttl. */
function rowAt(values: readonly unknown[], index: number): Place {
  const [, , , tokens, ids, ttlMs] = values as [unknown, unknown, unknown, readonly unknown[], readonly string[], number];
  return { resource: `voucher_item:${ids[index]}`, token: Number(tokens[index]), ttlMs: Number(ttlMs) };
}

/** `$1` resources, `$2` keys, `$4` tokens, `$5` the ttl. */
function keyAt(values: readonly unknown[], index: number): Place {
  const [names, keys, , tokens, ttlMs] = values as [readonly string[], readonly string[], unknown, readonly unknown[], number];
  return { resource: `${names[index]}:${keys[index]}`, token: Number(tokens[index]), ttlMs: Number(ttlMs) };
}

function renewed(
  { values = [] }: Query,
  { rows }: Answer,
  place: (values: readonly unknown[], index: number) => Place,
): readonly Grant[] {
  return rows.flatMap((row, index) => {
    const answer = Array.isArray(row) ? row[0] : (row as { readonly answer: unknown }).answer;
    return answer === "done" ? [place(values, index)] : [];
  });
}
