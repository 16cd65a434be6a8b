import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresDeadLetters } from "../../src/ledger/postgres-dead-letters.ts";
import { deadLettersConformance } from "../conformance/dead-letters-conformance.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { recordsIn } from "./dead-letters-database.ts";

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

deadLettersConformance("postgres", async () => {
  fixtures += 1;
  const schema = `dead_letters_${fixtures}`;
  await migrate(database.pool, systemClock, schema);
  return {
    deadLetters: postgresDeadLetters({ database: connections, clock: systemClock, schema }),
    records: () => recordsIn(database.pool, schema),
    elapse: (ms) => delay(ms),
    close: async () => {
      await database.pool.query(`drop schema ${schema} cascade`);
    },
  };
});
