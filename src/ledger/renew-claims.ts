import { endStatement, HELD_BY_TOKEN } from "./end-statement.ts";

/** Makes leases last `$6` ms from now. Input: as `endStatement`. Never waits: a renewal has no time for it. */
export function renewClaimsSql(schema: string): string {
  return endStatement({
    schema,
    wait: false,
    lock: "no key update",
    steps: `renewed as (
  update ${schema}.claims c set leased_until = clock_timestamp() + $6::double precision * interval '1 millisecond'
  from locked l where ${HELD_BY_TOKEN}
)`,
    done: ["held"],
  });
}
