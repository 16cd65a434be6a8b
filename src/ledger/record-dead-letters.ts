/** What a note of a message that is known already overwrites: the record tells of the last time. */
const LAST_TIME = ["note", "pool", "resource", "claimant", "code", "reason"];

/**
 * Records dead letters.
 *
 * Input:  $1 notes, $2 queues, $3 message ids or null, $4 pools or null, $5 resources or null, $6 claimants or null, $7 codes,
 *         $8 reasons, each text[].
 * Output: nothing.
 * Atomic: all of it or nothing. A message that is in the input twice is one row, since an update cannot meet a row twice: the last one's
 * words, all of them counted. Rows are met in key order, so that two batches cannot wait for each other in a ring.
 */
export function recordDeadLettersSql(schema: string): string {
  const table = `${schema}.dead_letters`;
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    with ordinality as i (note, queue, message_id, pool, resource, claimant, code, reason, ord)
),
clock as materialized (select clock_timestamp() as now),
messages as materialized (
  select distinct on (queue, message_id) *, count(*) over (partition by queue, message_id) as times
  from input where message_id is not null
  order by queue, message_id, ord desc
),
with_id as (
  insert into ${table} as d (note, queue, message_id, pool, resource, claimant, code, reason, times, first_at, last_at)
  select m.note, m.queue, m.message_id, m.pool, m.resource, m.claimant, m.code, m.reason, m.times, c.now, c.now
  from messages m cross join clock c
  order by m.queue, m.message_id
  on conflict (queue, message_id) where message_id is not null do update set
    ${LAST_TIME.map((column) => `${column} = excluded.${column}`).join(", ")},
    times = d.times + excluded.times, last_at = clock_timestamp()
  where d.note <> excluded.note
),
without_id as (
  insert into ${table} (note, queue, pool, resource, claimant, code, reason, first_at, last_at)
  select i.note, i.queue, i.pool, i.resource, i.claimant, i.code, i.reason, c.now, c.now
  from input i cross join clock c
  where i.message_id is null
  order by i.ord
  on conflict (note) where message_id is null do nothing
)
select`;
}
