import { type ClaimShape, claimPieces, MAX_CLAIM_BATCH } from "./claim-pieces.ts";

/** Where the search for free rows begins. */
export type SearchStart =
  /** Anywhere: no index leads through the pool in the order of its ids. */
  | "anywhere"
  /** At the lowest id. */
  | "lowest"
  /** Behind the id in `$6`. */
  | "behind";

export interface NewClaimShape extends ClaimShape {
  readonly start: SearchStart;
  /** One request, given as plain values: a text of its own, since of arrays the planner expects many. */
  readonly isLone: boolean;
}

/** Columns before the user's own in each row of the answer. */
export const NEW_CLAIM_COLUMNS = [
  "short",
  "last_id",
  "holder",
  "claimant",
  "scope",
  "resource_id",
  "token",
  "written",
] as const;

/** `$1` to `$6`; scope values follow. Without a start behind an id there is no `$6`. */
export function firstScopeParameter(start: SearchStart): number {
  return start === "behind" ? 7 : 6;
}

/**
 * The claim of claimants that most likely have none: what almost every message is. It adds what it can, and leaves whoever has a claim, or
 * got no row, to `claimSql`, which knows all the cases.
 *
 * Input:  $1 pool name, $2 claimants text[], $3 holders text[], $4 message ids text[], $5 ttl in ms, $6 the id to begin behind, then one
 *         value for each scope column. A lone request has text instead of text[].
 * Output: a row for each claim that was made, in no order, or one without a holder: NEW_CLAIM_COLUMNS, then the columns of the
 *         user's table. last_id: the highest id among them, to begin behind the next time; short: there were too few
 *         free rows.
 * Atomic: all of it or nothing. READ COMMITTED, as `claimSql`; what it locks, waits for and reads, and in which order, is the same:
 *   request   claimants without a record: for no others a row is locked
 *   chosen    free rows, locked, passing over locked ones
 *   added     the ledger's record, above the row's last token, which is read after the row was locked; nothing for a claimant that has a
 *             record already, in the order of the claimants, so that nobody waits in a ring
 *   written   the owner column, under the row's lock
 * Its plan does not depend on how many claims it makes, or is to make: a LIMIT that is computed has the planner expect a tenth of ten.
 * So it can be kept, and every step looks rows up one by one, by index.
 */
export function claimNewSql(shape: NewClaimShape): string {
  const { schema, pool } = shape;
  const { id } = pool;
  const pieces = claimPieces(shape, firstScopeParameter(shape.start));
  const isOrdered = shape.start !== "anywhere";
  const wishes = shape.isLone
    ? "(select $2::text as claimant, $3::text as holder, $4::text as message_id)"
    : `(select * from unnest($2::text[], $3::text[], $4::text[]) as i (claimant, holder, message_id) limit (select ${MAX_CLAIM_BATCH}))`;
  return `
with request as materialized (
  select w.*, row_number() over () as place
  from (
    select ${pieces.claimant("i.claimant")} as claimant, ${pieces.scope} as scope, i.holder, i.message_id from ${wishes} i
  ) w
  where (select true from ${schema}.claims c where c.claimant = w.claimant and c.scope = w.scope and c.pool = $1) is null
),
chosen as materialized (
  select c.*, row_number() over () as place from (
    select ${pool.table}.${id.sql} as id, ${pieces.idText(pool.table)} as key, ${pieces.previous} as previous
    from ${pool.table}
    where ${pool.free}${pieces.inScope}${shape.start === "behind" ? ` and ${pool.table}.${id.sql} > $6::${id.type}` : ""}
    ${isOrdered ? `order by ${pool.table}.${id.sql}` : pool.orderBy}
    limit (select count(*) from request)
    for update skip locked
  ) c limit ${MAX_CLAIM_BATCH}
),
added as (
  insert into ${schema}.claims as c
    (pool, scope, claimant, resource_id, token, status, attempt, holder, leased_until, message_id, previous)
  select $1, r.scope, r.claimant, f.key, coalesce(t.token, 0) + 1, 'held', 1, r.holder,
    clock_timestamp() + $5::double precision * interval '1 millisecond', r.message_id, f.previous
  from request r join chosen f using (place)
  left join ${schema}.last_released_tokens($1, array(select key from chosen)) t on t.resource_id = f.key
  order by r.claimant, r.place
  on conflict (pool, scope, claimant) do nothing
  returning c.holder, c.claimant, c.scope, c.resource_id, c.token
),
written as (
  update ${pool.table} t set ${pieces.writes}
  from added i
  where t.${id.sql} = i.resource_id::${id.type}${pieces.stillFree}
  returning i.holder as "exclaim holder", i.claimant as "exclaim claimant", i.scope as "exclaim scope",
    i.resource_id as "exclaim resource", i.token as "exclaim token", ${pieces.written} as "exclaim written", t.*
),
verdict as materialized (
  select (select count(*) from chosen) < (select count(*) from request) as short,
    ${isOrdered ? `(select ${pieces.idText("l")} from (select c.id as ${id.sql} from chosen c join added a on a.resource_id = c.key order by c.id desc limit 1) l)` : "null"} as last_id,
    case when (select count(*) from added) = all (
      select unnest(array[count(*) filter (where "exclaim written"), count(distinct "exclaim resource")]) from written
    ) then true
    else (
      select bool_and(${schema}.refuse_unwritten_row(a.resource_id, a.rows)) from (
        select a.resource_id, (
          select count(*) from written w where w."exclaim resource" = a.resource_id and w."exclaim written"
        ) as rows from added a
      ) a where a.rows <> 1
    ) end as sound
)
select v.short, v.last_id, w.* from verdict v left join written w on true where v.sound`;
}
