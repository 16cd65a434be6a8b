import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresLedger } from "../../src/ledger/postgres.ts";
import { type ClaimSnapshot, type LedgerFixture, type LedgerTableSpec, poolOf } from "../conformance/ledger/fixture.ts";
import { ledgerConformance } from "../conformance/ledger-conformance.ts";
import { type DatabaseRoles, databaseRoles } from "../security/database-roles.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";

let database: FreshDatabase;
let roles: DatabaseRoles;
/** All that is claimed is claimed with the rights that SECURITY.md grants, and no others. */
let app: pg.Pool;
let fixtures = 0;
/** Migrated and empty, and no test's at the moment: to create one takes longer than most tests. */
const spareSchemas: string[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  roles = await databaseRoles(database.pool, database.url);
  app = roles.connect("app");
});

afterAll(async () => {
  await app.end();
  await roles.drop();
  await database.drop();
});

ledgerConformance("postgres", createPostgresLedger);

async function createPostgresLedger(spec: LedgerTableSpec): Promise<LedgerFixture> {
  fixtures += 1;
  const table = `voucher_item_${fixtures}`;
  const sql = database.pool;
  const schema = spareSchemas.pop() ?? (await migratedSchema(`ledger_${fixtures}`));
  await sql.query(`create table ${table} (
    id bigint primary key, code text, user_id ${spec.ownerType ?? "bigint"}, campaign_id bigint default 1, status text default 'free')`);
  await sql.query(`insert into ${table} (id, code) select i, 'CODE-' || i from generate_series(1, $1::int) i`, [spec.rows]);
  const pool = poolOf(table, spec);
  const written = [pool.ownerColumn ?? [], Object.keys(pool.set ?? {})].flat();
  await roles.grant({ schema, pool: { table, columns: written } });

  return {
    ledger: postgresLedger({ database: app, clock: systemClock, schema }),
    pool,
    rows: async () => (await sql.query(`select * from ${table} order by id`)).rows,
    claims: async () => (await sql.query(CLAIMS_SQL.replace("%schema", schema))).rows.map(snapshot),
    published: async () => (await sql.query(`select id, topic, payload from ${schema}.outbox`)).rows,
    elapse: (ms) => delay(ms),
    async writeRow(id, patch) {
      if (patch === null) await sql.query(`delete from ${table} where id = $1`, [id]);
      else {
        const columns = Object.keys(patch);
        const changes = columns.map((column, index) => `${column} = $${index + 2}`).join(", ");
        await sql.query(`update ${table} set ${changes} where id = $1`, [id, ...Object.values(patch)]);
      }
    },
    close: async () => {
      await sql.query(`drop table ${table}`);
      await sql.query(`delete from ${schema}.claims; delete from ${schema}.released_tokens; delete from ${schema}.outbox`);
      spareSchemas.push(schema);
    },
  };
}

async function migratedSchema(schema: string): Promise<string> {
  await migrate(database.pool, systemClock, schema);
  return schema;
}

const CLAIMS_SQL = "select pool, scope, claimant, resource_id, token, status, attempt from %schema.claims";

function snapshot(row: Record<string, string | number | null>): ClaimSnapshot {
  return {
    pool: String(row.pool),
    scope: String(row.scope),
    claimant: String(row.claimant),
    resourceId: row.resource_id === null ? null : String(row.resource_id),
    token: BigInt(row.token ?? 0),
    status: String(row.status),
    attempt: Number(row.attempt),
  };
}
