import type pg from "pg";
import type { ClaimStatement } from "./pod-calls.ts";

/** What the server did for one statement, each figure the median of all times. */
export interface StatementCost {
  readonly claims: number;
  readonly executionMicros: number;
  readonly planningMicros: number;
  /** Pages that were looked at while it ran, in memory or not. */
  readonly buffers: number;
}

interface Explained {
  readonly Plan: { readonly "Shared Hit Blocks": number; readonly "Shared Read Blocks": number };
  readonly "Planning Time": number;
  readonly "Execution Time": number;
}

/** Claimants that nobody else is. */
const FIRST_CLAIMANT = 1e12;

export function claimsIn({ values: [, claimants] }: ClaimStatement): number {
  return Array.isArray(claimants) ? claimants.length : 1;
}

/** Runs the statement so many times on behalf of new claimants, measured by the server, and rolls it back. After: nobody has claimed anything. */
export async function explainClaims(pool: pg.Pool, statement: ClaimStatement, times: number): Promise<StatementCost> {
  const seen: Explained[] = [];
  for (let time = 0; time < times; time += 1) seen.push(await explain(pool, statement, FIRST_CLAIMANT * (time + 1)));
  return {
    claims: claimsIn(statement),
    executionMicros: medianOf(seen.map((one) => one["Execution Time"])) * 1_000,
    planningMicros: medianOf(seen.map((one) => one["Planning Time"])) * 1_000,
    buffers: medianOf(seen.map(({ Plan }) => Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"])),
  };
}

async function explain(pool: pg.Pool, statement: ClaimStatement, firstClaimant: number): Promise<Explained> {
  const values = [...statement.values];
  const claimants = Array.from({ length: claimsIn(statement) }, (_, index) => String(firstClaimant + index));
  values[1] = Array.isArray(values[1]) ? claimants : claimants[0];
  const client = await pool.connect();
  try {
    await client.query("begin");
    const { rows } = await client.query<{ "QUERY PLAN": readonly Explained[] }>(
      `explain (analyze, buffers, timing off, format json) ${statement.text}`,
      values,
    );
    const explained = rows[0]?.["QUERY PLAN"][0];
    if (explained === undefined) throw new Error("EXPLAIN answered nothing");
    return explained;
  } finally {
    await client.query("rollback");
    client.release();
  }
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
