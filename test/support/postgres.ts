import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import { postgres } from "./services/postgres.ts";
import { sharedUrl } from "./shared-urls.ts";

const RETURN_LIMIT_MS = 3_000;

/** A database that nobody else uses. */
export interface FreshDatabase {
  readonly url: string;
  readonly pool: pg.Pool;
  /** Ends the pool and drops the database. Throws, after dropping it, when clients were taken from the pool and not returned. */
  drop(): Promise<void>;
}

/** Creates an empty database with a name of its own on the shared server. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const name = `exclaim_test_${randomBytes(8).toString("hex")}`;
  await administer(`create database ${name}`);
  const address = new URL(sharedUrl(postgres));
  address.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: address.href });
  // Without a listener an idle connection that is cut would end the test process; whoever queries next learns of it.
  pool.on("error", () => {});
  return {
    url: address.href,
    pool,
    drop: async () => {
      const returned = pool.ended || (await allReturned(pool));
      await administer(`drop database if exists ${name} with (force)`);
      if (!returned) {
        throw new Error(`A client of the pool of ${name} was taken and not returned.`);
      }
    },
  };
}

/** Starts a PostgreSQL of our own, for tests that hang or kill it. Its URL leads to the database postgres. */
export function startPostgres(): Promise<ServerProcess> {
  return startPrivateServer(postgres);
}

/** A pool ends only when every client has come back. */
function allReturned(pool: pg.Pool): Promise<boolean> {
  return Promise.race([pool.end().then(() => true), delay(RETURN_LIMIT_MS, false, { ref: false })]);
}

async function administer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedUrl(postgres) });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
