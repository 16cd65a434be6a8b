import { endStatement } from "./end-statement.ts";
import type { OpenPool } from "./open-pool.ts";
import { stableText } from "./stable-text.ts";

/**
 * Gives rows back to their pool, for claims of one pool. Input: as `endStatement`.
 * After:  owner null and the columns of `set` as they were, unless somebody has given the row to another owner meanwhile; the
 *         resource's token is remembered, so that its next claim continues above it.
 * Raises EX001 where a trigger or row policy keeps a row's owner from being written: the ledger must not call it free then.
 * Locks claims before rows, and rows before a claim lets go of them: a row whose owner somebody has set to null could else be claimed
 * before the token is there to be read.
 */
export function releaseClaimsSql(schema: string, pool: OpenPool, wait: boolean): string {
  const { owner, id, table } = pool;
  const writes = [
    ...(owner === null ? [] : [`${owner.sql} = null`]),
    ...pool.set.map(({ column }) => `${column.sql} = (l.previous ->> '${column.name.replaceAll("'", "''")}')::${column.type}`),
  ].join(", ");
  const isFree = owner === null ? "true" : `t.${owner.sql} is null`;
  // Also a row whose owner somebody has set to null: what "set" wrote would keep it from everybody.
  const isTheirs = owner === null ? "true" : `(${isFree} or ${stableText(schema, owner, `t.${owner.sql}`)} = l.claimant)`;
  return endStatement({
    schema,
    wait,
    lock: "update",
    steps: `given as materialized (select * from locked where newest and status in ('held', 'failed')),
rows as materialized (
  select l.ord, coalesce(${isTheirs}, false) as theirs
  from given l join ${table} t on t.${id.sql} = l.resource_id::${id.type}
  order by l.resource_id for update of t
),
ended as (
  update ${schema}.claims c
  set status = 'released', resource_id = null, previous = null, leased_until = null, ended_at = clock_timestamp()
  from given l where c.pool = l.pool and c.scope = l.scope and c.claimant = l.claimant and (select count(*) from rows) >= 0
),
remembered as (
  insert into ${schema}.released_tokens as t (pool, resource_id, token)
  select pool, resource_id, token from given order by pool, resource_id
  on conflict (pool, resource_id) do update set token = greatest(t.token, excluded.token)
),
restored as (
  update ${table} t set ${writes}
  from given l
  where t.${id.sql} = l.resource_id::${id.type} and ${isTheirs}
  returning l.ord, ${isFree} as free
)`,
    done: ["held", "failed", "released"],
    refusal: {
      branch: `when r.theirs and w.free is not true then ${schema}.refuse_unwritten_row(l.resource_id, 0)::text`,
      joins: "left join rows r on r.ord = i.ord\nleft join restored w on w.ord = i.ord",
    },
  });
}
