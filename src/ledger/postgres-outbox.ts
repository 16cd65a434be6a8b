import { ExclaimError } from "../errors.ts";
import { databaseError } from "./database-errors.ts";
import type { OutboxAdmin, OutboxStatus, ParkedMessage } from "./outbox-status.ts";
import { DEFAULT_STATEMENT_TIMEOUT_MS, type PostgresLedgerOptions } from "./postgres.ts";
import { quoteIdentifier } from "./quote.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";

/** Parked messages read at once. */
const PAGE_SIZE = 500;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The outbox in PostgreSQL 13 or newer, beside the claims of the same schema. */
export function postgresOutbox(
  options: Pick<PostgresLedgerOptions, "database" | "clock" | "schema" | "statementTimeoutMs">,
): OutboxAdmin {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const schema = quoteIdentifier(options.schema);

  return {
    async outboxStatus() {
      const [row] = await ask("looking into the outbox failed", statusSql(schema), []);
      const { waiting, due, oldest_ms, parked, sent } = row as Record<string, string | null>;
      const oldestWaitingMs = oldest_ms === null ? null : Math.max(0, Number(oldest_ms));
      return {
        waiting: Number(waiting),
        due: Number(due),
        oldestWaitingMs,
        parked: Number(parked),
        sent: Number(sent),
      } satisfies OutboxStatus;
    },
    async *parkedMessages({ limit = Number.POSITIVE_INFINITY } = {}) {
      let after: readonly [at: string | null, id: string | null] = [null, null];
      for (let left = limit; left > 0; ) {
        const size = Math.min(left, PAGE_SIZE);
        const rows = await ask("reading the parked messages failed", parkedSql(schema), [...after, size]);
        for (const { at_text, ...message } of rows as (ParkedMessage & { readonly at_text: string })[]) {
          after = [at_text, message.id];
          yield message;
        }
        if (rows.length < size) return;
        left -= size;
      }
    },
    async retryParked(ids) {
      const wrong = ids === "all" ? undefined : ids.find((id) => !UUID.test(id));
      if (wrong !== undefined) {
        const shown = JSON.stringify(String(wrong).slice(0, 80));
        throw new ExclaimError(
          "CONFIG_INVALID",
          `${shown} is no id of a message: give the ids that parked messages are listed with`,
        );
      }
      const [row] = await ask("retrying parked messages failed", retrySql(schema), [ids === "all" ? null : ids]);
      return Number((row as { count: string }).count);
    },
  };

  async function ask(what: string, text: string, values: unknown[]): Promise<unknown[]> {
    try {
      return (await runTransient(server, { text, values })).rows;
    } catch (error) {
      throw databaseError(error, what);
    }
  }
}

/** Output: one row of counts. One statement, hence one moment. */
function statusSql(schema: string): string {
  return `select w.*, (select count(*) from ${schema}.outbox where parked_at is not null) as parked,
      (select count(*) from ${schema}.outbox where published_at is not null) as sent
    from (
      select count(*) as waiting, count(*) filter (where next_at is null or next_at <= clock_timestamp()) as due,
        extract(epoch from clock_timestamp() - min(created_at)) * 1000 as oldest_ms
      from ${schema}.outbox where published_at is null and parked_at is null
    ) w`;
}

/** Input: $1, $2 the moment and id of the message before, null at first; $3 how many. The moment is a text: a Date has no microseconds. */
function parkedSql(schema: string): string {
  return `select id, topic, kind, pool, claimant, attempts, reason, parked_at as "parkedAt", parked_at::text as at_text
    from ${schema}.outbox
    where parked_at is not null and ($1::timestamptz is null or (parked_at, id) > ($1::timestamptz, $2::uuid))
    order by parked_at, id limit $3::bigint`;
}

/** Input: $1 the ids, or null for all. Output: count. */
function retrySql(schema: string): string {
  return `with retried as (
      update ${schema}.outbox set parked_at = null, reason = null, attempts = 0, next_at = null
      where parked_at is not null and ($1::uuid[] is null or id = any ($1::uuid[])) returning 1
    )
    select count(*) from retried`;
}
