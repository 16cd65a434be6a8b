import { endStatement, HELD_BY_TOKEN } from "./end-statement.ts";

/** Marks claims completed and stores their results. Input: as `endStatement`, `$6` results text[] (JSON, null for none). */
export function completeClaimsSql(schema: string, wait: boolean): string {
  return endStatement({
    schema,
    wait,
    lock: "update",
    results: true,
    steps: `ended as (
  update ${schema}.claims c
  set status = 'completed', result = l.result::json, leased_until = null, ended_at = clock_timestamp()
  from locked l where ${HELD_BY_TOKEN}
)`,
    done: ["held", "completed"],
  });
}
