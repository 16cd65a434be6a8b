import { databaseError, sqlState } from "./database-errors.ts";
import type { FoundClaim } from "./ledger.ts";
import type { OpenPool } from "./open-pool.ts";
import type { OpenScope } from "./open-scope.ts";
import type { Statements } from "./run-statement.ts";
import { stableText } from "./stable-text.ts";

/** Reads a claimant's claim; claimant and scope are written as their columns write them, like in a claim. */
export async function findClaim(
  server: Statements,
  schema: string,
  pool: OpenPool,
  scope: OpenScope,
  claimant: string,
): Promise<FoundClaim | null> {
  const parts = scope.columns.map(
    (column, index) => `'${column.name.replaceAll("'", "''")}', ${stableText(schema, column, `$${index + 3}::${column.type}`)}`,
  );
  const text = `
    select scope, claimant, resource_id, token, status, message_id,
      greatest(0, coalesce(extract(epoch from leased_until - clock_timestamp()) * 1000, 0))::float8 as lease_ms
    from ${schema}.claims
    where pool = $1 and claimant = ${pool.owner === null ? "$2" : stableText(schema, pool.owner, `$2::${pool.owner.type}`)}
      and scope = ${parts.length === 0 ? "'{}'" : `jsonb_build_object(${parts.join(", ")})::text`}`;
  let rows: unknown[];
  try {
    ({ rows } = await server.run({ text, values: [pool.name, claimant, ...scope.values] }));
  } catch (error) {
    if (isMisfit(error)) return null;
    throw databaseError(error, "a claim could not be read");
  }
  const row = rows[0] as Found | undefined;
  if (row === undefined) return null;
  return {
    claim: {
      pool: pool.name,
      scope: row.scope,
      claimant: row.claimant,
      resourceId: row.resource_id ?? "",
      token: BigInt(row.token),
    },
    status: row.status,
    messageId: row.message_id,
    leaseMs: row.lease_ms,
  };
}

interface Found {
  readonly scope: string;
  readonly claimant: string;
  readonly resource_id: string | null;
  readonly token: string;
  readonly status: FoundClaim["status"];
  readonly message_id: string | null;
  readonly lease_ms: number;
}

/** Nobody has a claim under what its column cannot hold. Source: PostgreSQL manual, Appendix A: data exceptions, and a domain's check. */
function isMisfit(error: unknown): boolean {
  const code = sqlState(error);
  return code !== undefined && (code.startsWith("22") || code === "23514");
}
