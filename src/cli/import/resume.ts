import type { Command } from "commander";
import type { ImportStatus } from "../../ledger/imports.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import {
  addBrokerAddressOptions,
  addDatabaseOptions,
  BROKER_HELP,
  type BrokerFlags,
  type DatabaseFlags,
} from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { writeJson, writeOut } from "../output.ts";
import { present } from "../present.ts";
import { findFile } from "./import-file.ts";
import { readSettings } from "./import-settings.ts";
import { addPaceOptions, importsOf, unknownImport } from "./imports-of.ts";
import { type ImportAnswer, runImport, tellPublished } from "./run-import.ts";

export interface ImportResumeOptions extends DatabaseFlags, BrokerFlags {
  readonly maxRejected?: number;
  readonly maxBacklog?: number;
  readonly chunk?: number;
  readonly json?: boolean;
}

export interface ResumedImport {
  readonly id: string;
  /** Where the file is by now. @default where it was */
  readonly file?: string | undefined;
}

export function addImportResume(imports: Command, cli: Cli): void {
  const command = imports
    .command("resume")
    .description("go on with an import that was interrupted, cancelled or failed")
    .argument("<id>")
    .argument("[file]", "where the file is by now (default: where it was)");
  addPaceOptions(command).option("--json", "print one JSON object at the end, as exclaim import does");
  addBrokerAddressOptions(addDatabaseOptions(command))
    .addHelpText(
      "after",
      `
Queue, key and mapping are kept with the import; addresses are not. A file that has changed since is refused. If a run of it is still
under way somewhere, that one ends.

Example:
  exclaim import resume employees-3f9a1c
${EXIT_CODES_HELP}
${BROKER_HELP}`,
    )
    .action((id: string, file: string | undefined, options: ImportResumeOptions) =>
      cli.run(() => runImportResume({ id, file }, options, cli.deps)),
    );
}

/** Goes on with an import. Also when there is nothing left to do, it returns and throws as `runImport`; IMPORT_UNKNOWN. */
export async function runImportResume(
  { id, file }: ResumedImport,
  options: ImportResumeOptions,
  deps: CliDeps,
): Promise<number> {
  const startedAt = performance.now();
  return withDatabase(options, deps, async (database) => {
    const imports = importsOf(database);
    const found = await imports.get(id);
    if (found === null) throw unknownImport(id);
    if (found.state === "published" || found.state === "finished") {
      const durationMs = Math.round(performance.now() - startedAt);
      if (options.json) await writeJson(deps.stdout, publishedAlready(found, durationMs));
      else await writeOut(deps.stdout, `import ${id}: every row is with the broker already\n`);
      return tellPublished(found.rejected, { id, database }, deps);
    }
    const kept = readSettings(id, found.settings);
    const { maxRejected, maxBacklog, chunk } = options;
    const settings = {
      ...kept,
      ...present({ maxRejected, maxBacklog, chunk }),
      file: await findFile(file ?? kept.file),
    };
    return runImport({ id, settings, database, imports, flags: options, json: options.json ?? false }, deps);
  });
}

function publishedAlready({ id, rows, rejected, duplicated, source }: ImportStatus, durationMs: number): ImportAnswer {
  return { id, status: "published", resumed: true, rows, published: 0, rejected, duplicated, file: source, durationMs };
}
