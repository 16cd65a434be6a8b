import pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { ResourceFixture } from "../conformance/resource/fixture.ts";
import { resourceConformance } from "../conformance/resource-conformance.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { postgresFixture } from "./resource-database.ts";

let database: FreshDatabase;
let connections: pg.Pool;
let fixtures = 0;

beforeAll(async () => {
  database = await freshDatabase();
  connections = new pg.Pool({ connectionString: database.url, max: 20 });
  // Connections that are still ending are cut when the database is dropped.
  connections.on("error", () => {});
});

afterAll(async () => {
  await connections.end();
  await database.drop();
});

resourceConformance("postgres", createPostgresResources);

async function createPostgresResources(): Promise<ResourceFixture> {
  fixtures += 1;
  const schema = `resources_${fixtures}`;
  await migrate(database.pool, systemClock, schema);
  return {
    ...postgresFixture(database.pool, connections, { schema }),
    close: async () => {
      await database.pool.query(`drop schema ${schema} cascade`);
    },
  };
}
