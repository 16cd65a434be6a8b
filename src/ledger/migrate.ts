import { readdir, readFile } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { Database } from "./database.ts";
import { databaseError, databaseFault } from "./database-errors.ts";
import { quoteIdentifier } from "./quote.ts";
import { giveBack, statements } from "./run-statement.ts";

const MIGRATIONS = new URL("../../migrations/", import.meta.url);

/** Others that migrate at the same moment wait for this one, which may take its time on a busy server. */
const MIGRATION_TIMEOUT_MS = 120_000;

/** One file of `migrations/`. */
export interface Migration {
  /** The file's name, by which it is recorded as applied. */
  readonly name: string;
  readonly sql: string;
}

/** The migrations of this release, in the order they are applied. */
export async function readMigrations(): Promise<readonly Migration[]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(names.map(async (name) => ({ name, sql: await readFile(new URL(name, MIGRATIONS), "utf8") })));
}

/**
 * Brings the ledger's schema up to this release.
 * After: every migration is applied; which, is recorded in `applied_migrations`. Returns the names applied by this call.
 * Died in between: nothing happened, it is one transaction. Many at once: an advisory lock lets one work and the rest find it done.
 * Throws DATABASE_UNREACHABLE; CONFIG_INVALID when the role may not create the schema.
 */
export async function migrate(database: Database, clock: Clock, schemaName: string): Promise<readonly string[]> {
  const schema = quoteIdentifier(schemaName);
  const migrations = await readMigrations();
  const server = statements(database, clock, MIGRATION_TIMEOUT_MS);
  const connection = await server.connect().catch((error: unknown) => {
    throw databaseError(error, "migrating could not start");
  });
  const ask = (text: string, values: unknown[] = []) =>
    connection.query({ text, ...(values.length === 0 ? {} : { values }), query_timeout: MIGRATION_TIMEOUT_MS });
  let sound = true;
  try {
    // Any other level would go on with what it saw before it waited for the lock.
    await ask("begin isolation level read committed");
    await ask("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`exclaim migrate ${schemaName}`]);
    // "create ... if not exists" asks for the right to create even where there is nothing to do.
    const { rows } = await ask("select to_regnamespace($1) is null as missing", [schema]);
    if ((rows[0] as { missing: boolean }).missing) await ask(`create schema ${schema}`);
    await ask(`set local search_path to ${schema}`);
    const record = await ask("select to_regclass($1) is null as missing", [`${schema}.applied_migrations`]);
    if ((record.rows[0] as { missing: boolean }).missing) {
      await ask(`create table applied_migrations (
        name text primary key, applied_at timestamptz not null default clock_timestamp())`);
    }
    const applied = await ask("select name from applied_migrations");
    const known = new Set(applied.rows.map((row) => (row as { name: string }).name));
    const pending = migrations.filter((migration) => !known.has(migration.name));
    for (const migration of pending) {
      await ask(migration.sql);
      await ask("insert into applied_migrations (name) values ($1)", [migration.name]);
    }
    await ask("commit");
    return pending.map((migration) => migration.name);
  } catch (error) {
    sound = await ask("rollback").then(
      () => true,
      () => false,
    );
    throw migrationError(error, `migrating schema ${schema} failed`);
  } finally {
    giveBack(connection, sound);
  }
}

/** Whatever the server refuses here is for whoever set it up: a name in use, a reserved schema, a missing right. */
function migrationError(error: unknown, what: string): ExclaimError {
  const fault = databaseFault(error);
  if (fault !== "member" && fault !== "schema") return databaseError(error, what);
  const reason = error instanceof Error ? error.message : String(error);
  return new ExclaimError("CONFIG_INVALID", `${what}: ${reason}; give exclaim a schema of its own`, { cause: error });
}
