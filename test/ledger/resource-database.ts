import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { systemClock } from "../../src/clock.ts";
import type { Database } from "../../src/ledger/database.ts";
import type { PostgresLedgerOptions } from "../../src/ledger/postgres.ts";
import { postgresResources } from "../../src/ledger/postgres-resources.ts";
import { type LeaseSnapshot, ResourceDriver, type ResourceFixture } from "../conformance/resource/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections } from "./ledger-database.ts";

/** A database of a test file's own with the ledger's schema in it, asked about resources. */
export interface ResourceDatabase extends LedgerDatabase {
  /** Asks over the connections of the tests themselves. */
  readonly resources: ResourceDriver;
  /** Asks over other connections than `sql`, such as another process has: ended when the test is finished. */
  openResources(connections?: pg.PoolConfig, options?: Partial<PostgresLedgerOptions>): ResourceDriver;
}

export async function resourceDatabase(): Promise<ResourceDatabase> {
  const database = await ledgerDatabase();
  const { sql, url } = database;
  return {
    ...database,
    resources: resourcesOver(sql, sql),
    openResources: (connections = {}, options = {}) =>
      resourcesOver(sql, openConnections({ connectionString: url, ...connections }), options),
  };
}

/** A driver over `database`, which looks behind its back through `sql`. */
export function resourcesOver(sql: pg.Pool, database: Database, options: Partial<PostgresLedgerOptions> = {}): ResourceDriver {
  return new ResourceDriver(postgresFixture(sql, database, options));
}

export function postgresFixture(
  sql: pg.Pool,
  database: Database,
  { schema = "exclaim", ...options }: Partial<PostgresLedgerOptions> = {},
): ResourceFixture {
  return {
    ledger: postgresResources({ database, clock: systemClock, schema, ...options }),
    leases: async () => (await sql.query(LEASES_SQL.replaceAll("%schema", schema))).rows.map(snapshot),
    published: async () => (await sql.query(`select id, topic, payload from ${schema}.outbox`)).rows,
    elapse: (ms) => delay(ms),
    now: () => performance.now(),
    beats: 10,
    close: async () => {},
  };
}

const LEASES_SQL = `select l.resource, l.key, l.token, l.status, l.attempt,
    round(extract(epoch from l.not_before) * 1000000)::bigint as not_before_us,
    (select count(*) from %schema.lease_sharers s where s.resource = l.resource and s.key = l.key and s.token = l.token) as sharers
  from %schema.leases l order by l.taken_at`;

function snapshot(row: Record<string, string | number | null>): LeaseSnapshot {
  return {
    resource: String(row.resource),
    key: String(row.key),
    token: BigInt(row.token ?? 0),
    status: String(row.status),
    attempt: Number(row.attempt),
    notBeforeUs: row.not_before_us === null ? null : BigInt(row.not_before_us ?? 0),
    sharers: Number(row.sharers),
  };
}
