/** The statements of a dispatcher. `schema` is quoted. */
import type { Query } from "../ledger/database.ts";
import type { OutboxRoute } from "./outbox-routes.ts";
import type { RefusedRow } from "./send-in-order.ts";

const PARTITIONS = 64;
/** Of a row `o`. As the index of waiting rows has it, to the letter: otherwise the index is of no use. */
const PARTITION = "(hashtextextended(o.kind || ':' || o.pool || ':' || o.scope || ':' || o.claimant, 0) & 63)";
/** Stands for keeping house among the numbers of the partitions' locks. */
const HOUSE_KEEPING = PARTITIONS;

/** Partitions that have a row to send to the route. Output: partition. One probe of an index for each, also with nothing to do. */
export function duePartitions(schema: string, route: OutboxRoute): Query {
  return {
    text: `select p.partition from generate_series(0, ${PARTITIONS - 1}) p (partition)
      cross join lateral (
        select from ${schema}.outbox o where ${PARTITION} = p.partition::bigint and ${isSendable(schema, route)}
        order by o.position limit 1
      ) due`,
    values: [route.topics],
  };
}

/**
 * Locks partitions until the transaction ends. Output: partition, of those that nobody else has. It reads no rows: its snapshot is older
 * than its locks, and would show as waiting what another dispatcher has sent since.
 */
export function lockPartitions(lockSpace: number, partitions: readonly number[]): Query {
  return {
    text: "select p.partition from unnest($2::integer[]) p (partition) where pg_try_advisory_xact_lock($1::integer, p.partition)",
    values: [lockSpace, partitions],
  };
}

/**
 * The rows to send to the route, from partitions that are locked: the first of each, so that none starves, and in order. Output:
 * id, topic, payload as text, line: who they keep their order for, attempts.
 */
export function readRows(schema: string, route: OutboxRoute, partitions: readonly number[], batchSize: number): Query {
  return {
    text: `select r.id, r.topic, r.payload, r.line, r.attempts from unnest($2::bigint[]) p (partition)
      cross join lateral (
        select o.id, o.topic, o.payload::text as payload, o.attempts, o.position,
          json_build_array(o.kind, o.pool, o.scope, o.claimant)::text as line
        from ${schema}.outbox o where ${PARTITION} = p.partition and ${isSendable(schema, route)}
        order by o.position limit $3::bigint
      ) r
      order by r.position limit $4::bigint`,
    values: [route.topics, partitions, Math.ceil(batchSize / partitions.length), batchSize],
  };
}

/** Marks rows as sent. */
export function markSent(schema: string, ids: readonly string[]): Query {
  return {
    text: `update ${schema}.outbox set published_at = clock_timestamp(), next_at = null
      where id = any ($1::uuid[]) and published_at is null and parked_at is null`,
    values: [ids],
  };
}

/** Puts refused rows off, or parks them. */
export function markRefused(schema: string, rows: readonly RefusedRow[]): Query {
  return {
    text: `update ${schema}.outbox o set attempts = r.attempts, reason = r.reason,
        next_at = case when not r.is_parked then clock_timestamp() + r.delay_ms * interval '1 ms' end,
        parked_at = case when r.is_parked then clock_timestamp() end
      from unnest($1::uuid[], $2::integer[], $3::text[], $4::float8[], $5::boolean[]) r (id, attempts, reason, delay_ms, is_parked)
      where o.id = r.id and o.published_at is null and o.parked_at is null`,
    values: [
      rows.map(({ id }) => id),
      rows.map(({ attempt }) => attempt),
      rows.map(({ reason }) => reason),
      rows.map(({ delayMs }) => delayMs ?? 0),
      rows.map(({ delayMs }) => delayMs === null),
    ],
  };
}

/** Forgets some of what was sent long ago. Output: count, null while another dispatcher is at it. */
export function forgetSent(schema: string, lockSpace: number, retentionMs: number, atMost: number): Query {
  return {
    text: `select case when pg_try_advisory_xact_lock($1::integer, ${HOUSE_KEEPING})
      then ${schema}.forget_outbox($2::float8 * interval '1 ms', $3::integer) end as count`,
    values: [lockSpace, retentionMs, atMost],
  };
}

/**
 * Input: $1 the topics of the route. A row waits while an earlier one of its claimant that goes the same way is put off. By one instant for
 * the whole statement: an earlier row that falls due in the middle of it would not be sent, and would hold nobody up.
 */
function isSendable(schema: string, route: OutboxRoute): string {
  const goesThere = (row: string) =>
    route.servesOthers ? `${row}.topic <> all ($1::text[])` : `${row}.topic = any ($1::text[])`;
  return `o.published_at is null and o.parked_at is null and (o.next_at is null or o.next_at <= statement_timestamp())
    and ${goesThere("o")} and not exists (
      select from ${schema}.outbox e
      where e.claimant = o.claimant and e.pool = o.pool and e.scope = o.scope and e.kind = o.kind and e.position < o.position
        and e.next_at is not null and e.next_at > statement_timestamp() and e.published_at is null and e.parked_at is null
        and ${goesThere("e")}
    )`;
}
