import { endedLease } from "./end-leases.ts";
import type { Fence } from "./fence.ts";
import type { ResourceRef } from "./resource-ledger.ts";

/**
 * The fence of a named resource: its lease is held under this very token, or shared under it and this sharer has not ended. The lease is
 * locked before the sharer, as everywhere.
 */
export function leaseFence(schema: string, lease: ResourceRef): Fence {
  const { resource, key, holder } = lease;
  const values = [resource, key, lease.token.toString(), holder];
  return {
    noun: "lease",
    token: lease.token,
    hold: {
      text: `with found as materialized (
         select * from ${schema}.leases where resource = $1 and key = $2 and token = $3 for key share
       ),
       sharer as materialized (
         select s.holder from (select * from found where status = 'shared') f cross join lateral (
           select * from ${schema}.lease_sharers s
           where s.key = f.key and s.resource = f.resource and s.holder = $4 and s.token = f.token for key share
         ) s
       )
       select pg_current_xact_id()::text as id from found
       where status = 'held' and holder = $4 or exists (select 1 from sharer)`,
      values,
    },
    end: () => ({
      text: `with ended as (
         update ${schema}.leases l set ${endedLease("true", "clock_timestamp()")}
         where resource = $1 and key = $2 and token = $3 and holder = $4 and status = 'held' returning 1 as ended
       ),
       left_group as (
         delete from ${schema}.lease_sharers where resource = $1 and key = $2 and token = $3 and holder = $4 returning 1 as ended
       )
       select ended from ended union all select ended from left_group`,
      values,
    }),
    publisher: { kind: "resource", pool: resource, scope: "{}", claimant: key },
    details: { resource, key },
  };
}
