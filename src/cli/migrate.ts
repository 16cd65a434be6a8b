import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { type Migration, migrate, readMigrations } from "../ledger/migrate.ts";
import { quoteIdentifier } from "../ledger/quote.ts";
import type { Cli } from "./cli.ts";
import type { CliDeps } from "./cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "./connection-flags.ts";
import { withDatabase } from "./connections.ts";
import { EXIT, UsageError } from "./exit-codes.ts";
import { writeJson, writeOut } from "./output.ts";

export interface MigrateOptions extends DatabaseFlags {
  readonly print?: boolean;
  readonly after?: string;
  readonly json?: boolean;
}

export function addMigrate(program: Command, cli: Cli): void {
  addDatabaseOptions(program.command("migrate"))
    .description("bring the ledger's schema up to this release")
    .option("--print", "print the SQL for somebody else to run, and connect to nothing")
    .option("--after <migration>", "with --print: only what comes after this one, 0006-share-leases for example")
    .option("--json", "print {schema, applied} as one JSON object")
    .addHelpText(
      "after",
      `
Idempotent, safe when many start at once, one transaction.

Examples:
  exclaim migrate
  exclaim migrate --print | psql "$DATABASE_URL"
${DATABASE_HELP}`,
    )
    .action((options: MigrateOptions) => cli.run(() => runMigrate(options, cli.deps)));
}

/** Applies the migrations that are missing, or prints them. */
export async function runMigrate(options: MigrateOptions, deps: CliDeps): Promise<number> {
  if (options.print) {
    await writeOut(deps.stdout, scriptOf(options.schema, following(await readMigrations(), options.after)));
    return EXIT.done;
  }
  if (options.after !== undefined) throw new UsageError("--after goes with --print");
  const applied = await withDatabase(options, deps, ({ pool, schema }) => migrate(pool, systemClock, schema));
  if (options.json) await writeJson(deps.stdout, { schema: options.schema, applied });
  else if (applied.length === 0) await writeOut(deps.stdout, `schema ${options.schema} is up to date\n`);
  else await writeOut(deps.stdout, applied.map((name) => `applied ${name}\n`).join(""));
  return EXIT.done;
}

function following(migrations: readonly Migration[], after: string | undefined): readonly Migration[] {
  if (after === undefined) return migrations;
  const index = migrations.findIndex(({ name }) => name === after || name === `${after}.sql`);
  if (index === -1) throw new UsageError(`there is no migration "${after}"; the last is ${migrations.at(-1)?.name}`);
  return migrations.slice(index + 1);
}

/** One transaction that leaves what `migrate` leaves, so that running that afterwards finds nothing to do. */
function scriptOf(schemaName: string, migrations: readonly Migration[]): string {
  const schema = quoteIdentifier(schemaName);
  const steps = migrations.map(
    ({ name, sql }) => `-- ${name}\n${sql.trimEnd()}\n\ninsert into applied_migrations (name) values ('${name}');\n`,
  );
  return [
    "begin;",
    `select pg_advisory_xact_lock(hashtextextended('exclaim migrate ${schemaName.replaceAll("'", "''")}', 0));`,
    `create schema if not exists ${schema};`,
    `set local search_path to ${schema};`,
    "create table if not exists applied_migrations (",
    "  name text primary key, applied_at timestamptz not null default clock_timestamp());\n",
    ...steps,
    "commit;\n",
  ].join("\n");
}
