import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresDeadLetters } from "../../src/ledger/postgres-dead-letters.ts";
import { deadLettersConformance } from "../conformance/dead-letters-conformance.ts";
import { type DatabaseRoles, databaseRoles } from "../security/database-roles.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { recordsIn } from "./dead-letters-database.ts";

let database: FreshDatabase;
let roles: DatabaseRoles;
/** All that is asked is asked with the rights that SECURITY.md grants, and no others. */
let connections: pg.Pool;
let fixtures = 0;

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

deadLettersConformance("postgres", async () => {
  fixtures += 1;
  const schema = `dead_letters_${fixtures}`;
  await migrate(database.pool, systemClock, schema);
  await roles.grant({ schema });
  return {
    deadLetters: postgresDeadLetters({ database: connections, clock: systemClock, schema }),
    records: () => recordsIn(database.pool, schema),
    elapse: (ms) => delay(ms),
    close: async () => {
      await database.pool.query(`drop schema ${schema} cascade`);
    },
  };
});
