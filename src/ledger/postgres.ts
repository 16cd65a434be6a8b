import type { Clock } from "../clock.ts";
import { isExclaimError } from "../errors.ts";
import { ClaimBatches } from "./claim-batch.ts";
import { claimFence } from "./claim-fence.ts";
import type { Database } from "./database.ts";
import { databaseError, databaseFault } from "./database-errors.ts";
import { durabilityWatch, type UnsafeSetting } from "./durability.ts";
import { endTexts } from "./end-texts.ts";
import { fencedTransaction } from "./fenced-transaction.ts";
import { findClaim } from "./find-claim.ts";
import { inHalves } from "./in-halves.ts";
import type {
  ClaimAnswer,
  ClaimBatch,
  ClaimLookup,
  ClaimRef,
  EndAnswer,
  FencedTransactions,
  Ledger,
  NewClaims,
} from "./ledger.ts";
import { missingObject } from "./missing-object.ts";
import { type OpenPool, openPool } from "./open-pool.ts";
import { type OpenScope, openScope } from "./open-scope.ts";
import { outboxBell } from "./outbox-bell.ts";
import type { PoolDefinition } from "./pool-definition.ts";
import { quoteIdentifier } from "./quote.ts";
import type { RepeatedText } from "./repeated-text.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { ServerLife } from "./server-life.ts";

export const DEFAULT_STATEMENT_TIMEOUT_MS = 10_000;
export const DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS = 30_000;

export interface PostgresLedgerOptions {
  readonly database: Database;
  readonly clock: Clock;
  /** Unquoted name of the schema the migrations were applied in. */
  readonly schema: string;
  /** Time limit of one statement, and of waiting for a connection. @default 10_000 */
  readonly statementTimeoutMs?: number;
  /** How long a fenced transaction may do nothing before the server ends it. @default 30_000 */
  readonly idleTransactionTimeoutMs?: number;
  /** Told of each row that is free in its table though the ledger gives it to somebody. */
  readonly onInconsistent?: (found: { pool: string; resourceId: string }) => void;
  /** Told once of each setting of the server by which what was committed may be lost. */
  readonly onUnsafe?: (found: UnsafeSetting) => void;
}

/** The ledger in PostgreSQL 13 or newer: the authority on who has what. */
export function postgresLedger(options: PostgresLedgerOptions): Ledger & NewClaims & FencedTransactions & ClaimLookup {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);
  const ring = outboxBell(server, options.clock, options.schema);
  const life = new ServerLife(server);
  const opened = new WeakMap<PoolDefinition, Promise<OpenPool>>();
  const claiming = new ClaimBatches({ server, schema, onInconsistent: options.onInconsistent });
  const texts = endTexts(schema);
  const watchDurability = durabilityWatch(server, options.clock, options.onUnsafe);

  return {
    claim,
    async claimNew(batch) {
      return claiming.runNew(await openOnce(batch.pool), batch);
    },
    complete: (completions, options) =>
      end(completions, texts.complete(options?.wait), (members) => [
        ...refColumns(members.map((member) => member.claim)),
        members.map((member) => member.result ?? null),
      ]),
    fail: (claims, options) => end(claims, texts.fail(options?.wait), refColumns),
    async release(pool, claims, options) {
      const open = await openOnce(pool);
      try {
        return await end(claims, texts.release(open, options?.wait), refColumns);
      } catch (error) {
        throw await blame(error, pool);
      }
    },
    renew: (claims, ttlMs) => end(claims, texts.renew, (members) => [...refColumns(members), ttlMs]),
    transact: (claim, work, completion) =>
      fencedTransaction(
        {
          statements: server,
          clock: options.clock,
          schema,
          idleTimeoutMs: options.idleTransactionTimeoutMs ?? DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS,
          ring,
          life,
        },
        claimFence(schema, claim),
        work,
        completion,
      ),
    async find(pool, scope, claimant) {
      const open = await openOnce(pool);
      return findClaim(server, schema, open, openScope(pool, open, scope), claimant);
    },
  };

  async function claim(batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    const pool = await openOnce(batch.pool);
    try {
      return await claiming.run(pool, batch);
    } catch (error) {
      const [first] = batch.requests;
      throw await blame(error, batch.pool, first && openScope(batch.pool, pool, first.scope));
    }
  }

  /** What misses something in the database may miss a part of the pool, changed since it was checked: it is checked anew then. */
  async function blame(error: unknown, definition: PoolDefinition, scope?: OpenScope): Promise<unknown> {
    if (!isExclaimError(error, "SCHEMA_OUTDATED")) return error;
    opened.delete(definition);
    return missingObject(server, definition, scope, error);
  }

  /** Runs a statement that ends or renews claims. */
  async function end<Member>(
    members: readonly Member[],
    text: RepeatedText,
    values: (members: readonly Member[]) => unknown[],
  ): Promise<readonly EndAnswer[]> {
    if (members.length === 0) return [];
    try {
      const { rows } = await runTransient(server, { ...text, values: values(members), rowMode: "array" });
      return rows.map((row) => (row as ["done" | "lost" | "busy"])[0]);
    } catch (error) {
      const wrapped = databaseError(error, "ending or renewing claims failed");
      if (databaseFault(error) !== "member") throw wrapped;
      if (members.length === 1) return [{ refused: wrapped }];
      return inHalves(members, (half) => end(half, text, values));
    }
  }

  /** Checked once a definition; a check that failed is made again, so that a table created later is found. */
  function openOnce(definition: PoolDefinition): Promise<OpenPool> {
    const known = opened.get(definition);
    if (known !== undefined) return known;
    watchDurability();
    const opening = openPool(server, definition);
    opened.set(definition, opening);
    opening.catch(() => opened.delete(definition));
    return opening;
  }
}

function refColumns(claims: readonly ClaimRef[]): unknown[] {
  return [
    claims.map((claim) => claim.pool),
    claims.map((claim) => claim.scope),
    claims.map((claim) => claim.claimant),
    claims.map((claim) => claim.token.toString()),
    claims.map((claim) => claim.resourceId),
  ];
}
