import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresLedger } from "../../src/ledger/postgres.ts";
import { type ClaimSnapshot, type LedgerFixture, type LedgerTableSpec, poolOf } from "../conformance/ledger/fixture.ts";
import { ledgerConformance } from "../conformance/ledger-conformance.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";

let database: FreshDatabase;
let fixtures = 0;

beforeAll(async () => {
  database = await freshDatabase();
});

afterAll(() => database.drop());

ledgerConformance("postgres", createPostgresLedger);

async function createPostgresLedger(spec: LedgerTableSpec): Promise<LedgerFixture> {
  fixtures += 1;
  const schema = `ledger_${fixtures}`;
  const table = `voucher_item_${fixtures}`;
  const sql = database.pool;
  await migrate(sql, systemClock, schema);
  await sql.query(`create table ${table} (
    id bigint primary key, code text, user_id ${spec.ownerType ?? "bigint"}, campaign_id bigint default 1, status text default 'free')`);
  await sql.query(`insert into ${table} (id, code) select i, 'CODE-' || i from generate_series(1, $1::int) i`, [spec.rows]);

  return {
    ledger: postgresLedger({ database: sql, clock: systemClock, schema }),
    pool: poolOf(table, spec),
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
      await sql.query(`drop schema ${schema} cascade`);
    },
  };
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
