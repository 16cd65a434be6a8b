import type { Command } from "commander";
import { systemClock } from "../../clock.ts";
import { ExclaimError } from "../../errors.ts";
import type { Imports } from "../../ledger/imports.ts";
import { postgresImports } from "../../ledger/postgres-imports.ts";
import { wholeNumber } from "../connection-flags.ts";
import type { OpenDatabase } from "../connections.ts";

/** The imports that a database remembers. */
export function importsOf({ pool, schema }: OpenDatabase): Imports {
  return postgresImports({ database: pool, clock: systemClock, schema });
}

export function unknownImport(id: string): ExclaimError {
  return new ExclaimError("IMPORT_UNKNOWN", `there is no import ${JSON.stringify(id)}: exclaim import list names them`);
}

/** Options that may be chosen anew when an import is resumed. */
export function addPaceOptions(command: Command): Command {
  return command
    .option("--max-rejected <n>", "stop once more rows than this are rejected (default: no limit)", wholeNumber(0))
    .option("--max-backlog <n>", "publish no more while so many messages wait in the queue (default: no bound)", wholeNumber(1))
    .option("--chunk <n>", "messages published at once (default: what suits the broker)", wholeNumber(1, 10_000));
}
