import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { writeJson, writeOut } from "../output.ts";
import { importsOf, unknownImport } from "./imports-of.ts";

export interface ImportCancelOptions extends DatabaseFlags {
  readonly json?: boolean;
}

export function addImportCancel(imports: Command, cli: Cli): void {
  addDatabaseOptions(imports.command("cancel"))
    .description("tell an import to publish no more; what is with the broker is served")
    .argument("<id>")
    .option("--json", "print {id, cancelled, state} as one JSON object")
    .addHelpText("after", `\nExit code 1: there is none, or every row of it is with the broker already.\n${DATABASE_HELP}`)
    .action((id: string, options: ImportCancelOptions) => cli.run(() => runImportCancel(id, options, cli.deps)));
}

/** Cancels an import. 0: it is cancelled; 1: nothing of it was left to cancel. Throws IMPORT_UNKNOWN. */
export async function runImportCancel(id: string, options: ImportCancelOptions, deps: CliDeps): Promise<number> {
  return withDatabase(options, deps, async (database) => {
    const imports = importsOf(database);
    const isCancelled = await imports.cancel(id);
    const status = await imports.get(id);
    if (status === null) throw unknownImport(id);
    const isSo = isCancelled || status.state === "cancelled";
    if (options.json) await writeJson(deps.stdout, { id, cancelled: isSo, state: status.state });
    else if (isSo) await writeOut(deps.stdout, `import ${id} is cancelled; go on with: exclaim import resume ${id}\n`);
    if (!isSo) deps.stderr.write(`exclaim: import ${id} is ${status.state}: every row is with the broker already\n`);
    return isSo ? EXIT.done : EXIT.no;
  });
}
