import { isKept, knownLeases, lockedUntil, takeAnswerColumns } from "./known-leases.ts";

/**
 * Shared takes: one statement for many keys of one resource, and for many sharers of one key.
 *
 * Input:  $1 resource, $2 keys, $3 holders, $4 message ids text[], $5 ttl in ms.
 * Output: one row a request, in order, as `takeAnswerColumns`.
 * Atomic: all of it or nothing. READ COMMITTED: row locks re-read a lease that changed since the statement began.
 *
 * The steps, each a CTE, since only a CTE is certain to run once:
 *   member   each request; joins: a live group shares the key; own: it is in that group already, asking again after a lost answer
 *   added    keys that come for the first time, above the floor that forgotten leases left
 *   reached  the leases that live groups share, written to, so that a take in a stricter isolation level notices, which other sharers'
 *            transactions let pass; it waits for them. And those without a live group that looked free, locked and re-read, passing
 *            over locked ones
 *   steady   those of them that are joined; due: the others, as they are under the lock
 *   opened   the next token for a new group
 *   touched  a group that another opened meanwhile is written to for the same reason
 *   entered  the sharers; renewed: those who had entered before; dropped: those of an older group, who crashed
 * It adds before it locks, both in the order of the keys. Who adds waits for who adds or has locked the same key; who locks waits for
 * who has locked, since it sees no key that is not committed. So nobody waits in a ring.
 */
export function takeSharedSql(schema: string): string {
  const leases = `${schema}.leases`;
  const sharers = `${schema}.lease_sharers`;
  const ttl = "$5::float8 * interval '1 millisecond'";
  return `
with input as materialized (
  select i.* from unnest($2::text[], $3::text[], $4::text[]) with ordinality as i (key, holder, message_id, ord)
),
${knownLeases(schema)},
member as materialized (
  select i.*, k.key is null as fresh, k.token, k.until, k.not_before, o.own, o.own or j.joins as joins,
    not j.joins and (${isKept("k.until", "k.not_before", "c.now")}) as kept
  from input i cross join clock c left join known k on k.key = i.key
  cross join lateral (select coalesce(k.status = 'shared' and k.until > c.now, false) as joins) j
  cross join lateral (select k.status is not distinct from 'shared' and (
    select true from ${sharers} s where s.key = i.key and s.resource = $1 and s.holder = i.holder and s.token = k.token
  ) is true as own) o
),
floor as materialized (
  select f.token from ${schema}.last_forgotten_token() f where exists (select 1 from member where fresh)
),
added as (
  insert into ${leases} as l (resource, key, token, status, attempt, taken_at)
  select $1, m.key, f.token + 1, 'shared', 0, c.now
  from (select distinct key from member where fresh) m cross join clock c cross join floor f
  order by m.key
  on conflict do nothing
  returning l.key, l.token
),
reached as materialized (
  select m.joins, l.* from (
    select key, bool_or(joins) as joins, max(token) filter (where joins) as token from member group by key
    having (bool_or(joins) or not bool_or(fresh or kept)) and (select count(*) from added) >= 0
    order by key offset 0
  ) m cross join lateral ${schema}.lock_to_share($1, m.key, m.token, (select now from clock)) l
),
steady as materialized (select key, token from reached where joins),
due as materialized (
  select d.key, d.token, d.status, d.not_before, d.until, d.status = 'shared' and coalesce(d.until > c.now, false) as joins,
    not (${isKept("d.until", "d.not_before", "c.now")}) as free
  from (select l.*, ${lockedUntil(schema, "l")} as until from reached l where not l.joins offset 0) d cross join clock c
),
opened as (
  update ${leases} l set
    status = 'shared', token = l.token + 1, holder = null, leased_until = null, rest = null, message_id = null, ended_at = null,
    taken_at = c.now
  from due d cross join clock c where d.free and l.key = d.key and l.resource = $1
  returning l.key, l.token
),
joined as materialized (select key, token from steady union all select key, token from due where joins),
touched as (
  update ${leases} l set taken_at = c.now from due d cross join clock c where d.joins and l.key = d.key and l.resource = $1
),
shared as materialized (select * from joined union all select * from opened union all select * from added),
renewed as (
  update ${sharers} s set leased_until = c.now + ${ttl}
  from member m cross join clock c
  where m.own and s.key = any (array(select key from member where own)) and s.key = m.key and s.resource = $1 and s.holder = m.holder
    and s.token = (select g.token from shared g where g.key = m.key)
  returning s.key, s.holder
),
entered as (
  insert into ${sharers} as s (resource, key, holder, token, leased_until, message_id, taken_at)
  select $1, m.key, m.holder, g.token, c.now + ${ttl}, m.message_id, c.now
  from member m join shared g on g.key = m.key cross join clock c where not m.own
  order by m.key, m.holder
  on conflict do nothing
  returning s.key, s.holder
),
dropped as (
  delete from ${sharers} s
  where s.resource = $1 and s.key = any (array(select d.key from due d where d.free and d.status = 'shared'))
    and s.token < (select g.token from opened g where g.key = s.key)
),
answers as (
  select m.ord, e.key is not null as held, g.token, case when d.key is not null then d.until when m.kept then m.until end as until,
    case when d.key is not null then d.not_before when m.kept then m.not_before end as not_before
  from member m left join shared g on g.key = m.key left join due d on d.key = m.key
  left join (select distinct key, holder from (select * from renewed union all select * from entered) e) e
    on e.key = m.key and e.holder = m.holder
)
select ${takeAnswerColumns({ held: "a.held", token: "a.token", attempt: "1", until: "a.until", notBefore: "a.not_before" })}
from answers a cross join clock c order by a.ord`;
}
