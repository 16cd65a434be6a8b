import type { Failpoint } from "../failpoint.ts";

export type StatementKind = "claim" | "transaction" | "COMMIT" | "completion" | "giving up" | "renewal";

/** Where each kind of statement can be struck. */
export const POINTS: Readonly<
  Record<StatementKind, { readonly begins: Failpoint; readonly sent?: Failpoint; readonly answered?: Failpoint }>
> = {
  claim: { begins: "F3 claim begins", sent: "F7 claim sent", answered: "F8 claim answered" },
  transaction: { begins: "F12 transaction begins" },
  COMMIT: { begins: "F12 COMMIT begins", sent: "F12 COMMIT sent", answered: "F12 COMMIT answered" },
  completion: { begins: "F12 completion begins", sent: "F12 completion sent", answered: "F12 completion answered" },
  "giving up": { begins: "F12 giving up begins", sent: "F12 giving up sent", answered: "F12 giving up answered" },
  renewal: { begins: "F12 renewal begins", sent: "F12 renewal sent", answered: "F12 renewal answered" },
};

/** In this order: the text of a claim holds words of the others. */
const SIGNS: readonly (readonly [StatementKind, RegExp])[] = [
  ["claim", /insert into \S*\.claims as c\b|insert into \S*\.leases as l\b/],
  ["renewal", /\brenewed as \(/],
  ["completion", /status = 'completed', result =|\[e\.ord::int\]|with ended as \(\s*update \S*\.leases/],
  ["giving up", /set status = '(failed|released)'/],
  ["transaction", /^begin isolation level/],
  ["COMMIT", /^commit$/],
];

/** What a statement of the library is, by its text; undefined for any other. */
export function statementKind(text: string): StatementKind | undefined {
  return SIGNS.find(([, sign]) => sign.test(text))?.[0];
}
