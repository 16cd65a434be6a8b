import { randomUUID } from "node:crypto";
import { systemClock } from "../../clock.ts";
import type { Database } from "../../ledger/database.ts";
import { databaseError } from "../../ledger/database-errors.ts";
import type { ClaimLookup, ClaimRef, EndAnswer, Ledger } from "../../ledger/ledger.ts";
import { openPool } from "../../ledger/open-pool.ts";
import type { PoolDefinition } from "../../ledger/pool-definition.ts";
import { DEFAULT_STATEMENT_TIMEOUT_MS, postgresLedger } from "../../ledger/postgres.ts";
import { quoteIdentifier } from "../../ledger/quote.ts";
import { statements } from "../../ledger/run-statement.ts";
import { stableText } from "../../ledger/stable-text.ts";
import type { OpenDatabase } from "../connections.ts";
import { oneTransaction } from "./one-transaction.ts";
import type { ListedClaim } from "./read-claims.ts";

/** Of the pool's definition, what a release needs to know. */
export interface ReleasedPool {
  /** False: the pool has none. */
  readonly ownerColumn?: string | false;
  readonly idColumn?: string;
}

/** How long a completed claim is ours while it is taken up again to be released: within a transaction, where nobody else sees it. */
const REOPENED_MS = 30_000;

const HAS_CHANGED = "it has changed meanwhile; look at it again";

/**
 * Whether the claim's row names the claimant as its owner; true where the pool has no owner column. By another column the ledger would call
 * a row free that its table gives to somebody. Throws as `openPool`.
 */
export async function isNamed({ pool, schema }: OpenDatabase, listed: ListedClaim, released: ReleasedPool): Promise<boolean> {
  const server = statements(pool, systemClock, DEFAULT_STATEMENT_TIMEOUT_MS);
  const { table, id, owner } = await openPool(server, definitionOf(listed, released));
  if (owner === null) return true;
  const text = `select from ${table} where ${id.sql} = $1::${id.type} and ${stableText(quoteIdentifier(schema), owner)} = $2`;
  try {
    const { rowCount } = await server.run({ text, values: [listed.resourceId, listed.claimant] });
    return rowCount !== 0;
  } catch (error) {
    throw databaseError(error, `${listed.pool} could not be read`);
  }
}

/**
 * Releases a claim that is as it was seen. Returns why it was not released, and nothing has changed then, also not of a completed one;
 * undefined: it was. Died in between: one or the other. Throws as a ledger does.
 */
export function releaseClaim(
  { pool: connections, schema }: OpenDatabase,
  listed: ListedClaim,
  released: ReleasedPool,
): Promise<string | undefined> {
  return oneTransaction(connections, release, (reason) => reason === undefined);

  async function release(database: Database): Promise<string | undefined> {
    const ledger = postgresLedger({ database, schema, clock: systemClock });
    const pool = definitionOf(listed, released);
    const found = await ledger.find(pool, listed.scope, listed.claimant);
    const isAsSeen = found?.claim.token.toString() === listed.token && found.status === listed.status;
    if (found === null || !isAsSeen) return HAS_CHANGED;
    const claim = found.status === "completed" ? await reopen(ledger, pool, listed) : found.claim;
    if (claim === undefined) return HAS_CHANGED;
    const [answer = "lost"] = await ledger.release(pool, [claim], { wait: true });
    return refusalReason(answer);
  }
}

/** A completed claim is nobody's to release: it is taken up once more, with the next token. */
async function reopen(
  ledger: Ledger & ClaimLookup,
  pool: PoolDefinition,
  { scope, claimant }: ListedClaim,
): Promise<ClaimRef | undefined> {
  const requests = [{ scope, claimant, holder: randomUUID(), messageId: "exclaim claims release", pick: null }];
  const [answer] = await ledger.claim({ pool, ttlMs: REOPENED_MS, rerun: true, requests });
  return answer?.status === "claimed" ? answer.claim : undefined;
}

function refusalReason(answer: EndAnswer): string | undefined {
  if (answer === "done") return undefined;
  if (answer === "lost") return HAS_CHANGED;
  if (answer === "busy") return "a transaction holds it at this moment; try again";
  return answer.refused.message;
}

/** The columns that `set` wrote are known from the claim; what they are given is of no concern to a release. `where`: no row is free. */
function definitionOf(listed: ListedClaim, { ownerColumn, idColumn }: ReleasedPool): PoolDefinition {
  return {
    table: listed.pool,
    where: "false",
    ...(typeof ownerColumn === "string" ? { ownerColumn } : {}),
    ...(idColumn === undefined ? {} : { idColumn }),
    ...(listed.previous.length === 0 ? {} : { set: Object.fromEntries(listed.previous.map((column) => [column, null])) }),
  };
}
