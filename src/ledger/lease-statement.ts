/** What a statement that ends or renews leases does between finding them and answering. */
export interface LeaseStatement {
  /** The ledger's schema, quoted. */
  readonly schema: string;
  /** Wait for leases that a transaction holds, or pass over them and answer `busy`. */
  readonly wait: boolean;
  /** FOR NO KEY UPDATE lets the lease's own fenced transactions (FOR KEY SHARE) go on meanwhile. */
  readonly lock: "update" | "no key update";
  /** A CTE over `exclusive`, the leases asked for and found, with `newest`. */
  readonly exclusive: string;
  /** A CTE over `sharers`, the sharers asked for and found in the newest group. */
  readonly shared: string;
  /** Statuses under which the newest token of an exclusive lease is answered `done`. */
  readonly done: readonly string[];
  /** The answer for a sharer of the newest group that is there no more. */
  readonly gone: "done" | "lost";
}

/**
 * The frame that ending and renewing share: one statement for many leases, exclusive and shared.
 *
 * Input:  $1 resources, $2 keys, $3 holders text[], $4 tokens bigint[]; $5 is the statement's own.
 * Output: one row a lease, in order: done, lost or busy.
 * Atomic: all of it or nothing. Locks the leases in key order, those of sharers FOR KEY SHARE, so that sharers end and renew side by
 * side while a take keeps out; then the sharers. Whether a lease is shared is read as the statement began: its holder knew already.
 */
export function leaseStatement(parts: LeaseStatement): string {
  const leases = `${parts.schema}.leases`;
  const sharers = `${parts.schema}.lease_sharers`;
  const skip = parts.wait ? "" : "skip locked";
  const unlocked = parts.wait ? "lost" : "busy";
  const done = parts.done.map((status) => `'${status}'`).join(", ");
  return `
with input as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) with ordinality as i (resource, key, holder, token, ord)
),
clock as materialized (select clock_timestamp() as now),
known as materialized (
  select i.*, k.status = 'shared' as shared, k.status = 'shared' and (
    select true from ${sharers} s where s.key = i.key and s.resource = i.resource and s.holder = i.holder and s.token = i.token
  ) is true as entered
  from input i cross join lateral (select * from ${leases} l where l.key = i.key and l.resource = i.resource offset 0) k
  order by i.key, i.resource
),
exclusive as materialized (
  select i.ord, l.*, l.token = i.token and l.holder is not distinct from i.holder as newest
  from (select * from known where not shared) i
  cross join lateral (select * from ${leases} l where l.key = i.key and l.resource = i.resource for ${parts.lock} ${skip}) l
),
groups as materialized (
  select i.ord, i.holder, l.key, l.resource, l.token, l.status = 'shared' and l.token = i.token as newest
  from (select * from known where shared) i
  cross join lateral (select * from ${leases} l where l.key = i.key and l.resource = i.resource for key share ${skip}) l
),
sharers as materialized (
  select g.ord, s.key, s.resource, s.holder, s.token
  from (select * from groups where newest) g
  cross join lateral (
    select * from ${sharers} s where s.key = g.key and s.resource = g.resource and s.holder = g.holder and s.token = g.token
    for ${parts.lock} ${skip}
  ) s
),
${parts.exclusive},
${parts.shared}
select case
    when k.key is null then 'lost'
    when not k.shared then
      case when e.ord is null then '${unlocked}' when e.newest and e.status in (${done}) then 'done' else 'lost' end
    when g.ord is null then '${unlocked}'
    when not g.newest then 'lost'
    when s.ord is not null then 'done'
    ${parts.wait ? "" : "when k.entered then 'busy'"}
    else '${parts.gone}'
  end as answer
from input i
left join known k on k.ord = i.ord
left join exclusive e on e.ord = i.ord
left join groups g on g.ord = i.ord
left join sharers s on s.ord = i.ord
order by i.ord`;
}

/** Said of an update or delete of sharers `s`: a planner without statistics of them would else read them all to find a few. */
export const ONE_BY_ONE = "s.key = any (array(select key from sharers))";
