import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags, wholeNumber } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { tableText, writeJson, writeOut } from "../output.ts";
import { count } from "./import-progress.ts";
import { importsOf } from "./imports-of.ts";

export interface ImportListOptions extends DatabaseFlags {
  readonly limit: number;
  readonly json?: boolean;
}

export function addImportList(imports: Command, cli: Cli): void {
  addDatabaseOptions(imports.command("list"))
    .description("list imports, the newest first")
    .option("--limit <n>", "at most so many", wholeNumber(1, 10_000), 20)
    .option("--json", "print a JSON object a line, one for each import")
    .addHelpText("after", DATABASE_HELP)
    .action((options: ImportListOptions) => cli.run(() => runImportList(options, cli.deps)));
}

/** Prints imports. None at all is an answer too: 0. */
export async function runImportList(options: ImportListOptions, deps: CliDeps): Promise<number> {
  const imports = await withDatabase(options, deps, (database) => importsOf(database).list({ limit: options.limit }));
  if (options.json) {
    for (const status of imports) if (!(await writeJson(deps.stdout, status))) break;
    return EXIT.done;
  }
  const rows = imports.map(({ id, state, rows, pending, refused, deadLettered, rejected, createdAt, source }) => [
    id,
    state,
    ...[rows, pending, refused + deadLettered, rejected].map(count),
    createdAt.toISOString(),
    source,
  ]);
  await writeOut(
    deps.stdout,
    tableText(["IMPORT", "STATE", "ROWS", "PENDING", "REFUSED", "REJECTED", "BEGUN", "SOURCE"], rows),
  );
  return EXIT.done;
}
