import type { Clock } from "../clock.ts";
import { isExclaimError } from "../errors.ts";
import { claimAnswers } from "./claim-answers.ts";
import { claimFence } from "./claim-fence.ts";
import { type ClaimShape, claimSql, RESOURCE_INDEX } from "./claim-rows.ts";
import { completeClaimsSql } from "./complete-claims.ts";
import type { Database, QueryAnswer } from "./database.ts";
import { brokenConstraint, databaseError, databaseFault } from "./database-errors.ts";
import { failClaimsSql } from "./fail-claims.ts";
import { fencedTransaction } from "./fenced-transaction.ts";
import { findClaim } from "./find-claim.ts";
import { inHalves } from "./in-halves.ts";
import type {
  ClaimAnswer,
  ClaimBatch,
  ClaimLookup,
  ClaimRef,
  ClaimRequest,
  EndAnswer,
  FencedTransactions,
  Ledger,
} from "./ledger.ts";
import { missingObject } from "./missing-object.ts";
import { type OpenPool, openPool } from "./open-pool.ts";
import { type OpenScope, openScope } from "./open-scope.ts";
import { outboxBell } from "./outbox-bell.ts";
import type { PoolDefinition } from "./pool-definition.ts";
import { quoteIdentifier } from "./quote.ts";
import { refusedClaim } from "./refused-claim.ts";
import { releaseClaimsSql } from "./release-claims.ts";
import { renewClaimsSql } from "./renew-claims.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";

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
}

/** The ledger in PostgreSQL 13 or newer: the authority on who has what. */
export function postgresLedger(options: PostgresLedgerOptions): Ledger & FencedTransactions & ClaimLookup {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);
  const ring = outboxBell(server, options.clock, options.schema);
  const opened = new WeakMap<PoolDefinition, Promise<OpenPool>>();
  const claimTexts = new WeakMap<OpenPool, Map<string, string>>();

  return {
    claim,
    complete: (completions, options) =>
      end(completions, completeClaimsSql(schema, options?.wait ?? false), (members) => [
        ...refColumns(members.map((member) => member.claim)),
        members.map((member) => member.result ?? null),
      ]),
    fail: (claims, options) => end(claims, failClaimsSql(schema, options?.wait ?? false), refColumns),
    async release(pool, claims, options) {
      const open = await openOnce(pool);
      try {
        return await end(claims, releaseClaimsSql(schema, open, options?.wait ?? false), refColumns);
      } catch (error) {
        throw await blame(error, pool);
      }
    },
    renew: (claims, ttlMs) => end(claims, renewClaimsSql(schema), (members) => [...refColumns(members), ttlMs]),
    transact: (claim, work, completion) =>
      fencedTransaction(
        {
          statements: server,
          clock: options.clock,
          schema,
          idleTimeoutMs: options.idleTransactionTimeoutMs ?? DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS,
          ring,
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
    const scope = openScope(batch.pool, pool, batch.scope);
    try {
      // Rows are chosen by id or not at all: a batch that mixes both is two statements.
      const picked = [...(await attempt(batch.requests.filter(isPick), false))];
      const others = [
        ...(await attempt(
          batch.requests.filter((request) => !isPick(request)),
          false,
        )),
      ];
      return batch.requests.flatMap((request) => (isPick(request) ? picked : others).splice(0, 1));
    } catch (error) {
      throw await blame(error, batch.pool, scope);
    }

    async function attempt(requests: readonly ClaimRequest[], guarded: boolean): Promise<readonly ClaimAnswer[]> {
      const [first] = requests;
      if (first === undefined) return [];
      const values = [
        pool.name,
        requests.map((request) => request.claimant),
        requests.map((request) => request.holder),
        requests.map((request) => request.messageId),
        batch.ttlMs,
        batch.rerun,
        requests.map((request) => request.pick),
        ...scope.values,
      ];
      let answer: QueryAnswer;
      try {
        const text = claimText({ schema, pool, scope: scope.columns, picks: isPick(first), guarded });
        answer = await runTransient(server, { text, values, rowMode: "array" });
      } catch (error) {
        if (databaseFault(error) !== "member") throw databaseError(error, "claiming failed");
        if (!guarded && brokenConstraint(error) === RESOURCE_INDEX) {
          options.onInconsistent?.({ pool: pool.name, resourceId: conflictingResource(error) });
          return attempt(requests, true);
        }
        if (requests.length === 1) {
          return [{ status: "refused", error: await refusedClaim(server, pool, scope, first, error) }];
        }
        return inHalves(requests, (half) => attempt(half, guarded));
      }
      return claimAnswers(pool.name, requests.length, answer);
    }
  }

  /** Kept by the pool as it was opened: definitions of one table differ in more than their conditions. */
  function claimText(shape: ClaimShape): string {
    const texts = claimTexts.get(shape.pool) ?? new Map<string, string>();
    claimTexts.set(shape.pool, texts);
    const key = JSON.stringify([shape.scope.map((column) => column.name), shape.picks, shape.guarded]);
    const text = texts.get(key) ?? claimSql(shape);
    texts.set(key, text);
    return text;
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
    text: string,
    values: (members: readonly Member[]) => unknown[],
  ): Promise<readonly EndAnswer[]> {
    if (members.length === 0) return [];
    try {
      const { rows } = await runTransient(server, { text, values: values(members) });
      return rows.map((row) => (row as { answer: "done" | "lost" | "busy" }).answer);
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
    const opening = openPool(server, definition);
    opened.set(definition, opening);
    opening.catch(() => opened.delete(definition));
    return opening;
  }
}

function isPick(request: ClaimRequest): boolean {
  return request.pick !== null;
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

/** Source: PostgreSQL's detail text, `Key (pool, resource_id)=(public.voucher_item, 12) already exists.`, in any language. */
function conflictingResource(error: unknown): string {
  const detail = typeof error === "object" && error !== null && "detail" in error ? String(error.detail) : "";
  return /=\(.*?, (.*)\)/.exec(detail)?.[1] ?? "unknown";
}
