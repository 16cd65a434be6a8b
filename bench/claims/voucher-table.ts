import type pg from "pg";

/** Makes a table of free rows: the same for every case but for its name and size. After: it is analyzed. `table`: schema and name. */
export async function createVoucherTable(pool: pg.Pool, table: string, rows: number): Promise<void> {
  await pool.query(
    `create table ${table} (id bigint primary key, code text not null, user_id bigint, done boolean not null default false)`,
  );
  await pool.query(`insert into ${table} (id, code) select i, 'CODE-' || i from generate_series(1, $1::bigint) i`, [rows]);
  await pool.query(`create index on ${table} (id) where user_id is null`);
  await pool.query(`vacuum analyze ${table}`);
}

/**
 * Throws unless each of the users from 1 to `users` has exactly one row of the table, and nobody else has any.
 * A row has one owner column, hence no two owners at a time.
 */
export async function assertOneRowEach(pool: pg.Pool, table: string, users: number): Promise<void> {
  const { rows } = await pool.query(
    `select count(*)::int as taken, count(distinct user_id)::int as owners,
       coalesce(min(user_id), 1)::int as first, coalesce(max(user_id), 0)::int as last
     from ${table} where user_id is not null`,
  );
  const seen = JSON.stringify(rows[0]);
  const wanted = JSON.stringify({ taken: users, owners: users, first: 1, last: users });
  if (seen !== wanted) throw new Error(`${table} should have ${wanted} and has ${seen}`);
}

/** Throws unless the ledger has exactly one completed claim for each owner of a row, of that very row, and no other claim. */
export async function assertLedgerAgrees(pool: pg.Pool, table: string, ledgerSchema: string): Promise<void> {
  const { rows } = await pool.query(
    `select count(*)::int as wrong
     from (select * from ${table} where user_id is not null) v
     full join ${ledgerSchema}.claims c on c.resource_id = v.id::text and c.claimant = v.user_id::text and c.status = 'completed'
     where v.id is null or c.claimant is null`,
  );
  if (rows[0]?.wrong !== 0) throw new Error(`${rows[0]?.wrong} rows or claims of ${table} have no counterpart`);
}
