import type { Scope } from "../ledger/pool-definition.ts";
import { columnText } from "../ledger/quote.ts";

/** The lock key of a claimant's slot: `exclaim:{pool}:{scope}:{claimant}`, each part escaped. */
export function slotKey(pool: string, scope: Scope, claimant: string): string {
  const parts = Object.entries(scope)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([column, value]) => `${escapePart(column)}=${escapePart(columnText(value))}`);
  return `exclaim:${escapePart(pool)}:${parts.join("&")}:${escapePart(claimant)}`;
}

/** The lock key of a row: `exclaim:{pool}:row:{id}`, each part escaped. For other code of the user's that locks rows too. */
export function rowKey(pool: string, id: string): string {
  return `exclaim:${escapePart(pool)}:row:${escapePart(id)}`;
}

/** The lock key of a named resource's key: `exclaim:{resource}:{key}`, each part escaped. */
export function resourceKey(resource: string, key: string): string {
  return `exclaim:${escapePart(resource)}:${escapePart(key)}`;
}

/** Percent-encodes what could be taken for a separator, a hash tag or a pattern, so that different parts give different keys. */
export function escapePart(part: string): string {
  return encodeURIComponent(part).replace(/[!'()*~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
