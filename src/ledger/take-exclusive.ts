import { isKept, knownLeases, lockedUntil, takeAnswerColumns } from "./known-leases.ts";

/**
 * Exclusive takes: one statement for many keys of one resource.
 *
 * Input:  $1 resource, $2 keys, $3 holders, $4 message ids text[], $5 ttl in ms, $6 spacings text[] (none, start, end, beat),
 *         $7 their intervals in ms float8[].
 * Output: one row a request, in order, as `takeAnswerColumns`.
 * Atomic: all of it or nothing. READ COMMITTED: FOR UPDATE re-reads a lease that changed since the statement began.
 *
 * The steps, each a CTE, since only a CTE is certain to run once:
 *   member   one request a key: its own holder's, asking again after a lost answer, or else the first
 *   added    keys that come for the first time, above the floor that forgotten leases left
 *   locked   the leases that looked free, locked and re-read, passing over locked ones. Who must wait anyway locks nothing, so that a
 *            crowd that asks for a live lease does not get in the way of its renewals
 *   due      the same as they are under the lock; free: nobody has them and they may be taken
 *   taken    token and attempt, the lease, and by the spacing what the key rests: a beat counts from the instant the one before named,
 *            in whole microseconds, so that it never drifts; a point less than half a beat away is passed over
 *   dropped  sharers of the group before, who crashed
 * It adds before it locks, both in the order of the keys, as a shared take does, and there is said why nobody waits in a ring. Who
 * adds a key second, or adds one that others have by then, waits for them and is contended.
 */
export function takeExclusiveSql(schema: string): string {
  const leases = `${schema}.leases`;
  const ttl = "$5::float8 * interval '1 millisecond'";
  const microseconds = (interval: string): string => `round(extract(epoch from ${interval})::numeric * 1000000)`;
  const gap = microseconds("d.gap");
  const beat = `l.not_before + interval '1 microsecond' * (
        ${gap} * (div(2 * ${microseconds("c.now - l.not_before")} + ${gap}, 2 * ${gap}) + 1))::float8`;
  return `
with input as materialized (
  select i.key, i.holder, i.message_id, i.spacing, i.ms * interval '1 millisecond' as gap, i.ord
  from unnest($2::text[], $3::text[], $4::text[], $6::text[], $7::float8[])
    with ordinality as i (key, holder, message_id, spacing, ms, ord)
),
${knownLeases(schema)},
member as materialized (
  select distinct on (i.key) i.*, k.key is null as fresh, k.until, k.not_before,
    coalesce(k.holder = i.holder and k.status = 'held', false) as own,
    coalesce(k.holder = i.holder and k.status <> 'held', false) as over,
    ${isKept("k.until", "k.not_before", "c.now")} as kept
  from input i cross join clock c left join known k on k.key = i.key
  order by i.key, coalesce(k.holder = i.holder, false) desc, i.ord
),
floor as materialized (
  select f.token from ${schema}.last_forgotten_token() f where exists (select 1 from member where fresh)
),
added as (
  insert into ${leases} as l
    (resource, key, token, status, holder, leased_until, attempt, not_before, rest, message_id, taken_at)
  select $1, m.key, f.token + 1, 'held', m.holder, c.now + ${ttl}, 1,
    case m.spacing when 'none' then null when 'end' then c.now + ${ttl} + m.gap else c.now + m.gap end,
    case when m.spacing = 'end' then m.gap end, m.message_id, c.now
  from member m cross join clock c cross join floor f where m.fresh
  order by m.key
  on conflict do nothing
  returning l.key, l.token, l.attempt, l.leased_until, l.not_before
),
locked as materialized (
  select l.*, m.holder as by, m.message_id as message, m.spacing, m.gap
  from (
    select * from member where (own or not (fresh or over or kept)) and (select count(*) from added) >= 0 order by key
  ) m cross join lateral (
    select * from ${leases} l where l.key = m.key and l.resource = $1 for update skip locked
  ) l
),
due as materialized (
  select d.*, d.own or not (${isKept("d.until", "d.not_before", "c.now")}) as free
  from (
    select l.*, l.status = 'held' and l.holder = l.by as own, ${lockedUntil(schema, "l")} as until from locked l offset 0
  ) d cross join clock c
),
taken as (
  update ${leases} l set
    status = 'held', holder = d.by, message_id = d.message, leased_until = c.now + ${ttl}, ended_at = null,
    token = l.token + case when d.own then 0 else 1 end,
    attempt = l.attempt + case when d.own then 0 else 1 end,
    taken_at = case when d.own then l.taken_at else c.now end,
    rest = case when d.own then l.rest when d.spacing = 'end' then d.gap end,
    not_before = case
      when d.own then coalesce(c.now + ${ttl} + l.rest, l.not_before)
      when d.spacing = 'start' then c.now + d.gap
      when d.spacing = 'end' then c.now + ${ttl} + d.gap
      when d.spacing = 'beat' then coalesce(${beat}, c.now + d.gap)
      else l.not_before end
  from due d cross join clock c
  where d.free and l.key = d.key and l.resource = $1
  returning l.key, l.token, l.attempt, l.leased_until, l.not_before
),
held as materialized (select * from taken union all select * from added),
dropped as (
  delete from ${schema}.lease_sharers s
  where s.resource = $1 and s.key = any (array(select d.key from due d where d.free and d.status = 'shared'))
    and s.token < (select h.token from held h where h.key = s.key)
),
answers as (
  select i.ord, h.key is not null and m.ord = i.ord as held, h.token, h.attempt, case
      when h.key is not null then h.leased_until when d.key is not null then d.until when m.kept and not m.own then m.until end as until, case
      when h.key is not null then h.not_before when d.key is not null then d.not_before when m.kept and not m.own then m.not_before
    end as not_before
  from input i join member m on m.key = i.key left join held h on h.key = i.key left join due d on d.key = i.key
)
select ${takeAnswerColumns({ held: "a.held", token: "a.token", attempt: "a.attempt", until: "a.until", notBefore: "a.not_before" })}
from answers a cross join clock c order by a.ord`;
}
