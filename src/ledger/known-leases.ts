/**
 * The CTEs both take statements begin with: `clock`, one instant that all of it counts from, and `known`, the leases of `input`'s keys
 * as the statement began, with `until`, when the last live lease on them is over. Looked up one by one (lateral), since a planner
 * without statistics would rather read them all.
 */
export function knownLeases(schema: string): string {
  return `clock as materialized (select clock_timestamp() as now),
known as materialized (
  select k.* from (select distinct key from input) i cross join lateral (
    select l.*, case when l.status = 'shared' then (
        select max(s.leased_until) from ${schema}.lease_sharers s
        where s.key = l.key and s.resource = l.resource and s.token = l.token
      ) else l.leased_until end as until
    from ${schema}.leases l where l.key = i.key and l.resource = $1 offset 0
  ) k
)`;
}

/** `until` of a lease that this very statement has locked: it may be shared by somebody who joined since the statement began. */
export function lockedUntil(schema: string, lease: string): string {
  return `case when ${lease}.status = 'shared'
    then ${schema}.shared_until($1, ${lease}.key, ${lease}.token) else ${lease}.leased_until end`;
}

/** Whether a live lease or its rest keeps a key from being taken at `now`; both are over at the very instant they name. */
export function isKept(until: string, notBefore: string, now: string): string {
  return `coalesce(${until} > ${now}, false) or coalesce(${notBefore} > ${now}, false)`;
}

/** The answer of a request: token and attempt where it holds the lease, else how long to wait in whole ms, null where nobody can tell. */
export function takeAnswerColumns(columns: {
  held: string;
  token: string;
  attempt: string;
  until: string;
  notBefore: string;
}): string {
  const { held, token, attempt, until, notBefore } = columns;
  return `case when ${held} then ${token} end as token, case when ${held} then ${attempt} end as attempt,
  ceil(round(extract(epoch from greatest(${until}, ${notBefore}) - c.now)::numeric * 1000000) / 1000)::float8 as retry_after_ms,
  coalesce(${notBefore} > c.now, false) and not coalesce(${until} > c.now, false) as too_early`;
}
