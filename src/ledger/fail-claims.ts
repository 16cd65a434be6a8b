import { endStatement, HELD_BY_TOKEN } from "./end-statement.ts";

/** Ends leases at once and leaves the rows with their claimants. Input: as `endStatement`. */
export function failClaimsSql(schema: string, wait: boolean): string {
  return endStatement({
    schema,
    wait,
    lock: "update",
    steps: `ended as (
  update ${schema}.claims c set status = 'failed', leased_until = null, ended_at = clock_timestamp()
  from locked l where ${HELD_BY_TOKEN}
)`,
    done: ["held", "failed"],
  });
}
