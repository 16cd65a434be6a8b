import type pg from "pg";
import type { Corner } from "./corner.ts";

const PARTITIONS = 8;

/**
 * Nobody vacuums but the program: what has been claimed since must be known. A partitioned table has no storage, hence no such setting,
 * of its own.
 */
const NOT_BY_ITSELF = "with (autovacuum_enabled = off)";

/** Makes the table of a corner, all of it free, and stops the server from vacuuming it or the ledger. After: both are vacuumed. */
export async function createGrowthTable(pool: pg.Pool, table: string, ledgerSchema: string, corner: Corner): Promise<void> {
  const { rows, scopes, partitioned } = corner;
  await pool.query(
    `create table ${table} (id bigint primary key, code text not null, user_id bigint, campaign_id integer not null)
     ${partitioned ? "partition by hash (id)" : NOT_BY_ITSELF}`,
  );
  for (let remainder = 0; partitioned && remainder < PARTITIONS; remainder += 1) {
    await pool.query(
      `create table ${table}_${remainder} partition of ${table}
       for values with (modulus ${PARTITIONS}, remainder ${remainder}) ${NOT_BY_ITSELF}`,
    );
  }
  await pool.query(
    `insert into ${table} (id, code, campaign_id) select i, 'CODE-' || i, i % $2::integer from generate_series(1, $1::bigint) i`,
    [rows, scopes],
  );
  await pool.query(`create index on ${table} (${scopes > 1 ? "campaign_id, " : ""}id) where user_id is null`);
  await pool.query(`alter table ${ledgerSchema}.claims set (autovacuum_enabled = off)`);
  await vacuumGrowthTable(pool, table, ledgerSchema);
}

export async function vacuumGrowthTable(pool: pg.Pool, table: string, ledgerSchema: string): Promise<void> {
  await pool.query(`vacuum analyze ${table}`);
  await pool.query(`vacuum analyze ${ledgerSchema}.claims`);
}
