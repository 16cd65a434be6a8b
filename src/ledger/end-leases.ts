import { leaseStatement, ONE_BY_ONE } from "./lease-statement.ts";

/** Ends leases at once. Input: as `leaseStatement`, `$5` whether they completed boolean[]. */
export function endLeasesSql(schema: string, wait: boolean): string {
  return leaseStatement({
    schema,
    wait,
    lock: "update",
    exclusive: `ended as (
  update ${schema}.leases l set ${endedLease("($5::boolean[])[e.ord::int]", "c.now")}
  from exclusive e cross join clock c
  where l.key = e.key and l.resource = e.resource and e.newest and e.status = 'held'
)`,
    shared: `left_group as (
  delete from ${schema}.lease_sharers s using sharers f
  where ${ONE_BY_ONE} and s.key = f.key and s.resource = f.resource and s.holder = f.holder
)`,
    done: ["held", "completed", "failed"],
    gone: "done",
  });
}

/** What an update of a lease `l` writes when it ends at `now`. A key that rests from the end rests from now. */
export function endedLease(completed: string, now: string): string {
  return `status = case when ${completed} then 'completed' else 'failed' end, leased_until = null, ended_at = ${now},
    attempt = case when ${completed} then 0 else l.attempt end, not_before = coalesce(${now} + l.rest, l.not_before)`;
}
