import type { ImportState, ImportStatus } from "./imports.ts";

/**
 * Where imports stand, the newest first.
 * Input: $1 ids text[] or null for all, $2 how many at most.
 */
export function importStatusSql(schema: string): string {
  return `
select i.id, i.source, i.target, i.status, i.settings, i.reason, i.created_at, i.updated_at, i.published_at, i.rows::float8 as rows,
  r.pending, r.claimed, r.replayed, r.refused, r.dead_lettered, x.rejected, x.duplicated
from (
  select * from ${schema}.imports where $1::text[] is null or id = any ($1) order by created_at desc, id limit $2::bigint
) i
cross join lateral (
  select count(*) filter (where state = 'pending')::float8 as pending, count(*) filter (where state = 'claimed')::float8 as claimed,
    count(*) filter (where state = 'replayed')::float8 as replayed, count(*) filter (where state = 'refused')::float8 as refused,
    count(*) filter (where state = 'dead-lettered')::float8 as dead_lettered
  from ${schema}.import_rows w where w.import_id = i.id
) r
cross join lateral (
  select count(*) filter (where code <> 'ROW_DUPLICATED')::float8 as rejected,
    count(*) filter (where code = 'ROW_DUPLICATED')::float8 as duplicated
  from ${schema}.import_rejects w where w.import_id = i.id
) x
order by i.created_at desc, i.id`;
}

interface StatusRow {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly status: Exclude<ImportState, "finished">;
  readonly settings: Readonly<Record<string, unknown>> | null;
  readonly reason: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly published_at: Date | null;
  readonly rows: number;
  readonly pending: number;
  readonly claimed: number;
  readonly replayed: number;
  readonly refused: number;
  readonly dead_lettered: number;
  readonly rejected: number;
  readonly duplicated: number;
}

/** An import as `importStatusSql` gives it. */
export function importStatusOf(given: unknown): ImportStatus {
  const row = given as StatusRow;
  const { id, source, target, rows, pending, claimed, replayed, refused, rejected, duplicated } = row;
  return {
    id,
    source,
    target,
    state: row.status === "published" && pending === 0 ? "finished" : row.status,
    settings: row.settings ?? undefined,
    reason: row.reason ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    publishedAt: row.published_at ?? undefined,
    rows,
    pending,
    claimed,
    replayed,
    refused,
    deadLettered: row.dead_lettered,
    rejected,
    duplicated,
  };
}
