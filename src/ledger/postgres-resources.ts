import type { QueryAnswer } from "./database.ts";
import { databaseError, databaseFault } from "./database-errors.ts";
import { durabilityWatch } from "./durability.ts";
import { endLeasesSql } from "./end-leases.ts";
import { fencedTransaction } from "./fenced-transaction.ts";
import { inHalves } from "./in-halves.ts";
import { leaseFence } from "./lease-fence.ts";
import type { EndAnswer } from "./ledger.ts";
import { outboxBell } from "./outbox-bell.ts";
import { DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS, DEFAULT_STATEMENT_TIMEOUT_MS, type PostgresLedgerOptions } from "./postgres.ts";
import { quoteIdentifier } from "./quote.ts";
import { intervalOf, refusedSpacing } from "./refused-spacing.ts";
import { renewLeasesSql } from "./renew-leases.ts";
import type {
  ResourceLedger,
  ResourceRef,
  ResourceTransactions,
  TakeAnswer,
  TakeBatch,
  TakeRequest,
} from "./resource-ledger.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { ServerLife } from "./server-life.ts";
import { takeAnswers } from "./take-answers.ts";
import { takeExclusiveSql } from "./take-exclusive.ts";
import { takeSharedSql } from "./take-shared.ts";

/** The leases of named resources in PostgreSQL 13 or newer, beside the claims of the same schema. */
export function postgresResources(
  options: Omit<PostgresLedgerOptions, "onInconsistent">,
): ResourceLedger & ResourceTransactions {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);
  const ring = outboxBell(server, options.clock, options.schema);
  const life = new ServerLife(server);
  const watchDurability = durabilityWatch(server, options.clock, options.onUnsafe);
  const texts = {
    exclusive: takeExclusiveSql(schema),
    shared: takeSharedSql(schema),
    renew: renewLeasesSql(schema),
    end: endLeasesSql(schema, false),
    endWaiting: endLeasesSql(schema, true),
  };

  return {
    async take(batch) {
      watchDurability();
      // Sharers join, others do not: a batch that mixes both is two statements.
      const answers = {
        exclusive: [...(await take(batch, batch.requests.filter(isExclusive)))],
        shared: [...(await take(batch, batch.requests.filter(isShared)))],
      };
      return batch.requests.flatMap((request): readonly TakeAnswer[] => {
        const error = refusedSpacing(request);
        return error === undefined ? answers[request.mode].splice(0, 1) : [{ status: "refused", error }];
      });
    },
    renew: (leases, ttlMs) => change(leases, texts.renew, [...refColumns(leases), ttlMs]),
    end: (ends, options) =>
      change(ends, options?.wait ? texts.endWaiting : texts.end, [
        ...refColumns(ends.map(({ lease }) => lease)),
        ends.map(({ how }) => how === "completed"),
      ]),
    transact: (lease, work, { ends = false } = {}) =>
      fencedTransaction(
        {
          statements: server,
          clock: options.clock,
          schema,
          idleTimeoutMs: options.idleTransactionTimeoutMs ?? DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS,
          ring,
          life,
        },
        leaseFence(schema, lease),
        work,
        ends ? () => undefined : undefined,
      ),
  };

  /** Takes for requests of one mode. */
  async function take(batch: TakeBatch, requests: readonly TakeRequest[]): Promise<readonly TakeAnswer[]> {
    const [first] = requests;
    if (first === undefined) return [];
    const values = [
      batch.resource,
      requests.map(({ key }) => key),
      requests.map(({ holder }) => holder),
      requests.map(({ messageId }) => messageId),
      batch.ttlMs,
    ];
    let answer: QueryAnswer;
    try {
      if (first.mode === "exclusive") {
        const spacings = [requests.map(({ spacing }) => spacing.from), requests.map(({ spacing }) => intervalOf(spacing))];
        answer = await runTransient(server, { text: texts.exclusive, values: [...values, ...spacings] });
      } else answer = await runTransient(server, { text: texts.shared, values });
    } catch (error) {
      const wrapped = databaseError(error, "taking a resource failed");
      if (databaseFault(error) !== "member") throw wrapped;
      if (requests.length === 1) return [{ status: "refused", error: wrapped }];
      return inHalves(requests, (half) => take(batch, half));
    }
    return takeAnswers(batch.resource, requests, answer);
  }

  /** Runs a statement that ends or renews leases. */
  async function change(members: readonly unknown[], text: string, values: unknown[]): Promise<readonly EndAnswer[]> {
    if (members.length === 0) return [];
    try {
      const { rows } = await runTransient(server, { text, values });
      return rows.map((row) => (row as { answer: "done" | "lost" | "busy" }).answer);
    } catch (error) {
      throw databaseError(error, "ending or renewing leases failed");
    }
  }
}

function isExclusive(request: TakeRequest): boolean {
  return request.mode === "exclusive" && refusedSpacing(request) === undefined;
}

function isShared(request: TakeRequest): boolean {
  return request.mode === "shared" && refusedSpacing(request) === undefined;
}

function refColumns(leases: readonly ResourceRef[]): unknown[] {
  return [
    leases.map((lease) => lease.resource),
    leases.map((lease) => lease.key),
    leases.map((lease) => lease.holder),
    leases.map((lease) => lease.token.toString()),
  ];
}
