import type pg from "pg";
import { databaseError } from "../../ledger/database-errors.ts";
import { quoteIdentifier } from "../../ledger/quote.ts";
import type { OpenDatabase } from "../connections.ts";
import { UsageError } from "../exit-codes.ts";

/** A claim as people look at it. */
export interface ListedClaim {
  readonly pool: string;
  /** Column values as text. */
  readonly scope: Readonly<Record<string, string>>;
  readonly claimant: string;
  readonly resourceId: string | null;
  readonly status: "held" | "completed" | "failed" | "released";
  readonly token: string;
  readonly attempt: number;
  /** What is left of the lease in ms; 0 when it is over or there is none. */
  readonly leaseMs: number;
  readonly messageId: string | null;
  readonly claimedAt: string;
  readonly endedAt: string | null;
  /** Columns that the claim overwrote, for the release. */
  readonly previous: readonly string[];
}

export interface ClaimFilter {
  /** `schema.table`, or the table alone. */
  readonly pool?: string | undefined;
  readonly claimant?: string | undefined;
  readonly scope?: Readonly<Record<string, string>> | undefined;
  readonly status?: string | undefined;
  readonly limit: number;
}

/** The claims that fit, the newest first. Throws as a ledger does. */
export async function readClaims({ pool: database, schema }: OpenDatabase, filter: ClaimFilter): Promise<ListedClaim[]> {
  const text = `
    select pool, scope, claimant, resource_id as "resourceId", status, token, attempt,
      round(greatest(0, coalesce(extract(epoch from leased_until - clock_timestamp()) * 1000, 0)))::float8 as "leaseMs",
      message_id as "messageId", claimed_at as "claimedAt", ended_at as "endedAt",
      array(select jsonb_object_keys(coalesce(previous, '{}'))) as previous
    from ${quoteIdentifier(schema)}.claims
    where ($1::text is null or pool = $1 or split_part(pool, '.', 2) = $1)
      and ($2::text is null or claimant = $2)
      and ($3::jsonb is null or scope = $3::jsonb::text)
      and ($4::text is null or status = $4)
    order by claimed_at desc, pool, scope, claimant
    limit $5`;
  const { pool = null, claimant = null, scope, status = null, limit } = filter;
  const values = [pool, claimant, scope === undefined ? null : JSON.stringify(scope), status, limit];
  const { rows } = await ask(database, text, values);
  return rows.map((row) => ({
    ...row,
    scope: JSON.parse(row.scope),
    claimedAt: row.claimedAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
  }));
}

interface FoundRow extends Omit<ListedClaim, "scope" | "claimedAt" | "endedAt"> {
  readonly scope: string;
  readonly claimedAt: Date;
  readonly endedAt: Date | null;
}

async function ask(database: pg.Pool, text: string, values: unknown[]): Promise<{ rows: FoundRow[] }> {
  try {
    return await database.query<FoundRow>(text, values);
  } catch (error) {
    throw databaseError(error, "claims could not be read");
  }
}

/** The scope of an option, as the ledger writes its values. Throws UsageError: not an object of plain values. */
export function parseScope(text: string | undefined): Readonly<Record<string, string>> | undefined {
  if (text === undefined) return undefined;
  let scope: unknown;
  try {
    scope = JSON.parse(text);
  } catch {
    throw new UsageError(`--scope is not JSON; write it like '{"campaign_id": 42}'`);
  }
  const isObject = typeof scope === "object" && scope !== null && !Array.isArray(scope);
  const entries = isObject ? Object.entries(scope as object) : [];
  if (!isObject || entries.some(([, value]) => !["string", "number", "boolean"].includes(typeof value))) {
    throw new UsageError(`--scope must be an object of plain values, like '{"campaign_id": 42}'`);
  }
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}
