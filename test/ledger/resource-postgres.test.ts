import type pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { ResourceFixture } from "../conformance/resource/fixture.ts";
import { resourceConformance } from "../conformance/resource-conformance.ts";
import { type DatabaseRoles, databaseRoles } from "../security/database-roles.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { postgresFixture } from "./resource-database.ts";

let database: FreshDatabase;
let roles: DatabaseRoles;
/** All that is asked is asked with the rights that SECURITY.md grants, and no others. */
let connections: pg.Pool;
let fixtures = 0;
/** Migrated and empty, and no test's at the moment: to create one takes longer than most tests. */
const spareSchemas: string[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  roles = await databaseRoles(database.pool, database.url);
  connections = roles.connect("app", { max: 20 });
});

afterAll(async () => {
  await connections.end();
  await roles.drop();
  await database.drop();
});

resourceConformance("postgres", createPostgresResources);

async function createPostgresResources(): Promise<ResourceFixture> {
  const schema = spareSchemas.pop() ?? (await migratedSchema());
  return {
    ...postgresFixture(database.pool, connections, { schema }),
    close: async () => {
      await database.pool.query(`delete from ${schema}.lease_sharers; delete from ${schema}.leases; delete from ${schema}.outbox;
        update ${schema}.lease_floor set token = 0`);
      spareSchemas.push(schema);
    },
  };
}

async function migratedSchema(): Promise<string> {
  fixtures += 1;
  const schema = `resources_${fixtures}`;
  await migrate(database.pool, systemClock, schema);
  await roles.grant({ schema });
  return schema;
}
