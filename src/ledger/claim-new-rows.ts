import { type ClaimPieces, type ClaimShape, claimPieces, MAX_CLAIM_BATCH, type ScopeValues } from "./claim-pieces.ts";

/**
 * Where the search for free rows begins: anywhere, in the order that the user asked for if any; or behind an id, along the ids. Along the
 * ids from the lowest is nobody's way: the planner might go along the primary key then, past every row that was ever claimed.
 */
export type SearchStart = "anywhere" | "behind";

export interface NewClaimShape extends ClaimShape {
  readonly start: SearchStart;
  /** One request, given as plain values: a text of its own, which has less to do. */
  readonly isLone: boolean;
}

/** Columns before the user's own in each row of the answer. */
export const NEW_CLAIM_COLUMNS = [
  "short",
  "next_ids",
  "holder",
  "claimant",
  "scope",
  "resource_id",
  "token",
  "written",
] as const;

/** `$1` to `$5`. What follows: the ids to begin behind, if any, then the values of each scope column. */
const FIRST_MORE_PARAMETER = 6;

/**
 * The claim of claimants that most likely have none: what almost every message is. It adds what it can, and leaves whoever has a claim, or
 * got no row, to `claimSql`, which knows all the cases.
 *
 * Input:  $1 pool name, $2 claimants text[], $3 holders text[], $4 message ids text[], $5 ttl in ms; to begin behind ids, text[] of them;
 *         then for each scope column its values text[]. Each is as long as the claimants. A lone request has text instead of text[].
 * Output: a row for each claim that was made, in no order, or one without a holder: NEW_CLAIM_COLUMNS, then the columns of the user's
 *         table. In the first row alone, as JSON, short: scopes that have too few free rows; next_ids: of each scope the id to begin behind the next time, the highest that
 *         was claimed, or after a search from anywhere the lowest.
 * Atomic: all of it or nothing. READ COMMITTED, as `claimSql`; what it locks, waits for and reads, and in which order, is the same:
 *   request   claimants without a record: for no others a row is locked; party: how many of a scope
 *   chosen    free rows, locked, passing over locked ones
 *   added     the ledger's record, above the row's last token, which is read after the row was locked; nothing for a claimant that has a
 *             record already, in the order of the claimants, so that nobody waits in a ring
 *   written   the owner column, under the row's lock
 * Its plan does not depend on how many claims it makes, or is to make: a LIMIT that is computed has the planner expect a tenth of ten.
 * So it can be kept, and every step looks rows up one by one, by index.
 */
export function claimNewSql(shape: NewClaimShape): string {
  const { schema } = shape;
  const pieces = claimPieces(shape);
  if (shape.isLone) return loneClaimSql(shape, pieces);
  return `
with "exclaim request" as materialized (
  select w.*, row_number() over (partition by w.scope) as place
  from (
    ${wishes(shape, pieces)}
  ) w
  where (select true from ${schema}.claims c where c.claimant = w.claimant and c.scope = w.scope and c.pool = $1) is null
),
"exclaim party" as materialized (
  select distinct on (r.scope) ${["r.scope", ...parts(shape).map((part) => `r.${part}`)].join(", ")},
    count(*) over (partition by r.scope) as members
  from "exclaim request" r
),
chosen as materialized (
  ${shape.scope.length === 0 ? chosenAtOnce(shape, pieces) : chosenByScope(shape, pieces)}
),
added as (
  insert into ${schema}.claims as c
    (pool, scope, claimant, resource_id, token, status, attempt, holder, leased_until, message_id, previous)
  select $1, r.scope, r.claimant, f.key, coalesce(t.token, 0) + 1, 'held', 1, r.holder,
    clock_timestamp() + $5::double precision * interval '1 millisecond', r.message_id, f.previous
  from "exclaim request" r join chosen f using (scope, place)
  left join ${schema}.last_released_tokens($1, array(select key from chosen)) t on t.resource_id = f.key
  order by r.claimant, r.scope, r.place
  on conflict (pool, scope, claimant) do nothing
  returning c.holder, c.claimant, c.scope, c.resource_id, c.token
),
${written(shape, pieces)},
verdict as materialized (
  select to_json(array(select p.scope from "exclaim party" p where p.members > (select count(*) from chosen c where c.scope = p.scope)))::text as short,
    to_json(array(
      select distinct on (c.scope) c.key from chosen c join added a on a.resource_id = c.key
      order by c.scope, c.id ${shape.start === "behind" ? "desc" : "asc"}
    ))::text as next_ids,
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
select case when row_number() over () = 1 then v.short end, case when row_number() over () = 1 then v.next_ids end, w.*
from verdict v left join written w on true where v.sound`;
}

/** Each request with its claimant as the owner column writes it, its scope's text and values, and the id to begin behind. */
function wishes(shape: NewClaimShape, pieces: ClaimPieces): string {
  const { pool, scope, start } = shape;
  const columns = ["claimant", "holder", "message_id", ...parts(shape)];
  const parameters = [2, 3, 4, ...parts(shape).map((_, index) => FIRST_MORE_PARAMETER + index)];
  const given = `(select * from unnest(${parameters.map((number) => `$${number}::text[]`).join(", ")}) as i (${columns.join(", ")})
      limit (select ${MAX_CLAIM_BATCH}))`;
  return `select ${[
    `${pieces.claimant("i.claimant")} as claimant`,
    `${pieces.scope((column, index) => `i.part_${index}::${column.type}`)} as scope`,
    "i.holder",
    "i.message_id",
    ...(start === "behind" ? [`i.behind::${pool.id.type} as behind`] : []),
    ...scope.map((column, index) => `i.part_${index}::${column.type} as part_${index}`),
  ].join(", ")}
    from ${given} i`;
}

/** What a request's place in the pool is told by. */
function parts({ scope, start }: NewClaimShape): string[] {
  return [...(start === "behind" ? ["behind"] : []), ...scope.map((_, index) => `part_${index}`)];
}

function chosenAtOnce(shape: NewClaimShape, pieces: ClaimPieces): string {
  return `select f.*, row_number() over () as place from (
    ${search(shape, pieces, { scope: "'{}'", members: '(select count(*) from "exclaim request")', behind: '(select behind from "exclaim party")' })}
  ) f limit ${MAX_CLAIM_BATCH}`;
}

/** For each scope a search of its own. The inner LIMIT that is written out keeps the planner from compiling the statement for millions. */
function chosenByScope(shape: NewClaimShape, pieces: ClaimPieces): string {
  return `select f.*, row_number() over (partition by f.scope) as place
  from "exclaim party" p cross join lateral (
    select * from (
      ${search(shape, pieces, { scope: "p.scope", members: "p.members", behind: "p.behind" })}
    ) f limit ${MAX_CLAIM_BATCH}
  ) f limit ${MAX_CLAIM_BATCH}`;
}

function search(
  { pool, start }: NewClaimShape,
  pieces: ClaimPieces,
  party: { readonly scope: string; readonly members: string; readonly behind: string },
  values: ScopeValues = (_, index) => `p.part_${index}`,
): string {
  const id = `${pool.table}.${pool.id.sql}`;
  return `select ${party.scope} as scope, ${id} as id, ${pieces.idText(pool.table)} as key, ${pieces.previous} as previous
      from ${pool.table}
      where ${pool.free}${pieces.inScope(values)}${start === "behind" ? ` and ${id} > ${party.behind}` : ""}
      ${start === "anywhere" ? pool.orderBy : `order by ${id}`}
      limit ${party.members}
      for update skip locked`;
}

/** The same for one request, with less to do: no places to be given, one row to be judged. */
function loneClaimSql(shape: NewClaimShape, pieces: ClaimPieces): string {
  const { schema, pool, start } = shape;
  const behind = start === "behind" ? `$${FIRST_MORE_PARAMETER}::${pool.id.type}` : "";
  const firstPart = FIRST_MORE_PARAMETER + (start === "behind" ? 1 : 0);
  const values: ScopeValues = (column, index) => `$${firstPart + index}::${column.type}`;
  const party = { scope: pieces.scope(values), members: '(select count(*) from "exclaim request")', behind };
  return `
with "exclaim request" as materialized (
  select w.* from (select ${pieces.claimant("$2::text")} as claimant, ${pieces.scope(values)} as scope offset 0) w
  where (select true from ${schema}.claims c where c.claimant = w.claimant and c.scope = w.scope and c.pool = $1) is null
),
chosen as materialized (
  select * from (
    ${search(shape, pieces, party, values)}
  ) f limit ${MAX_CLAIM_BATCH}
),
added as (
  insert into ${schema}.claims as c
    (pool, scope, claimant, resource_id, token, status, attempt, holder, leased_until, message_id, previous)
  select $1, r.scope, r.claimant, f.key, coalesce((select t.token from ${schema}.last_released_tokens($1, array[f.key]) t), 0) + 1,
    'held', 1, $3::text, clock_timestamp() + $5::double precision * interval '1 millisecond', $4::text, f.previous
  from "exclaim request" r, chosen f
  on conflict (pool, scope, claimant) do nothing
  returning c.holder, c.claimant, c.scope, c.resource_id, c.token
),
${written(shape, pieces)},
verdict as materialized (
  select
    (select to_json(array[r.scope])::text from "exclaim request" r where not exists (select from chosen)) as short,
    (select count(*) from written where "exclaim written") as rows
)
select coalesce(v.short, '[]'), to_json(array[w."exclaim resource"])::text, w.*
from verdict v left join written w on true
where v.rows = (select count(*) from added) or (select ${schema}.refuse_unwritten_row(a.resource_id, v.rows) from added a)`;
}

/** The step that writes the owner column, the same for many and for one. */
function written({ pool }: NewClaimShape, pieces: ClaimPieces): string {
  return `written as (
  update ${pool.table} t set ${pieces.writes}
  from added i
  where t.${pool.id.sql} = i.resource_id::${pool.id.type}${pieces.stillFree}
  returning i.holder as "exclaim holder", i.claimant as "exclaim claimant", i.scope as "exclaim scope",
    i.resource_id as "exclaim resource", i.token as "exclaim token", ${pieces.written} as "exclaim written", t.*
)`;
}
