import { leaseStatement, ONE_BY_ONE } from "./lease-statement.ts";

/**
 * Makes leases last `$5` ms from now, and a key that rests from the end of its lease rest from there, so that it does after a crash too.
 * Input: as `leaseStatement`. Never waits: a renewal has no time for it.
 */
export function renewLeasesSql(schema: string): string {
  const until = "c.now + $5::float8 * interval '1 millisecond'";
  return leaseStatement({
    schema,
    wait: false,
    lock: "no key update",
    exclusive: `renewed as (
  update ${schema}.leases l set leased_until = ${until}, not_before = coalesce(${until} + l.rest, l.not_before)
  from exclusive e cross join clock c
  where l.key = e.key and l.resource = e.resource and e.newest and e.status = 'held'
)`,
    shared: `extended as (
  update ${schema}.lease_sharers s set leased_until = ${until}
  from sharers f cross join clock c
  where ${ONE_BY_ONE} and s.key = f.key and s.resource = f.resource and s.holder = f.holder
)`,
    done: ["held"],
    gone: "lost",
  });
}
