import type pg from "pg";
import { ExclaimError } from "../../errors.ts";
import { importPackage } from "../import-package.ts";
import { startEmbeddedPostgres } from "./embedded-postgres.ts";
import type { Schemas } from "./variant.ts";

/** The PostgreSQL that a run works on. */
export interface DemoDatabase {
  readonly url: string;
  /** For people: which server it is. */
  readonly title: string;
  /** Ends the server when it is ours. */
  stop(): Promise<void>;
}

/**
 * Uses the server of `url`, or, without one, starts one of its own.
 * Throws CONFIG_INVALID: there is no server, or it does not answer.
 */
export async function openDatabase(url: string | undefined): Promise<DemoDatabase> {
  if (url === undefined) {
    const server = await startEmbeddedPostgres();
    try {
      return { url: server.url, title: `PostgreSQL ${await versionOf(server.url)} (embedded)`, stop: () => server.stop() };
    } catch (error) {
      await server.stop();
      throw error;
    }
  }
  try {
    return { url, title: `PostgreSQL ${await versionOf(url)} (DATABASE_URL)`, stop: async () => {} };
  } catch (cause) {
    // Its message may hold the address but not the password; the address itself is not repeated.
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExclaimError("CONFIG_INVALID", `the server of DATABASE_URL does not answer: ${why}`, { cause });
  }
}

/** A pool whose statements find their tables in `schema`. The caller ends it. */
export async function openPool(url: string, schema: string, max: number): Promise<pg.Pool> {
  const { default: driver } = await importPackage("pg", () => import("pg"));
  const pool = new driver.Pool({ connectionString: url, max, options: `-c search_path=${schema}` });
  // An idle connection that breaks is replaced by the pool; statements that fail say so themselves.
  pool.on("error", () => {});
  return pool;
}

/** Runs `work` on one connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { default: driver } = await importPackage("pg", () => import("pg"));
  const client = new driver.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Removes everything a run made. Idempotent. */
export async function dropSchemas(url: string, schemas: Schemas): Promise<void> {
  const names = [schemas.imported, schemas.queue, schemas.ledger, ...Object.values(schemas.variants)];
  await withClient(url, async (client) => {
    await client.query("set client_min_messages = warning");
    for (const name of names) await client.query(`drop schema if exists ${name} cascade`);
  });
}

async function versionOf(url: string): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return rows[0]?.server_version.split(" ")[0] ?? "";
  });
}
