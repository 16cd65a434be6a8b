import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { ImportStatus, Imports } from "../../ledger/imports.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { printable, writeJson, writeOut } from "../output.ts";
import { Progress } from "../progress.ts";
import { count } from "./import-progress.ts";
import { importsOf, unknownImport } from "./imports-of.ts";

export interface ImportStatusOptions extends DatabaseFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Each look counts every row of the import. */
const WATCH_EVERY_MS = 2_000;

export function addImportStatus(imports: Command, cli: Cli): void {
  addDatabaseOptions(imports.command("status"))
    .description("show where an import stands, and what became of its rows")
    .argument("<id>")
    .option("--watch", "wait until every row is accounted for, or the import has stopped")
    .option("--json", "print one JSON object")
    .addHelpText("after", HELP)
    .action((id: string, options: ImportStatusOptions) => cli.run(() => runImportStatus(id, options, cli.deps)));
}

const HELP = `
States of an import:
  running     its rows are being published, or its process has died: see when it was last heard of
  published   every row is with the broker
  finished    every row is accounted for
  stopped, cancelled, failed: it can be resumed

Exit codes:
  0   there is one; with --watch: it is finished, and every row is claimed, replayed or duplicated
  1   there is none; with --watch: it is finished, and rows were rejected, refused or dead-lettered
  4   with --watch: it was stopped or cancelled, or has failed
${DATABASE_HELP}`;

/** Prints where an import stands. Throws IMPORT_UNKNOWN; the signal's reason. */
export async function runImportStatus(id: string, options: ImportStatusOptions, deps: CliDeps): Promise<number> {
  return withDatabase(options, deps, async (database) => {
    const imports = importsOf(database);
    const status = options.watch ? await watch(id, imports, deps) : await known(id, imports);
    if (options.json) await writeJson(deps.stdout, status);
    else await writeOut(deps.stdout, describe(status));
    return options.watch ? endCode(status) : EXIT.done;
  });
}

async function known(id: string, imports: Imports): Promise<ImportStatus> {
  const status = await imports.get(id);
  if (status === null) throw unknownImport(id);
  return status;
}

async function watch(id: string, imports: Imports, { stderr, signal }: CliDeps): Promise<ImportStatus> {
  const progress = new Progress(stderr);
  try {
    for (;;) {
      const status = await known(id, imports);
      if (status.state !== "running" && status.state !== "published") return status;
      progress.update(`${status.state}: ${countsOf(status)}`);
      await delay(WATCH_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  } finally {
    progress.clear();
  }
}

function endCode({ state, rejected, refused, deadLettered }: ImportStatus): number {
  if (state !== "finished") return EXIT.incomplete;
  return rejected + refused + deadLettered === 0 ? EXIT.done : EXIT.no;
}

/** Every count, so that they can be seen to add up. */
function countsOf(status: ImportStatus): string {
  const { rows, pending, claimed, replayed, refused, deadLettered, rejected, duplicated } = status;
  const parts = { pending, claimed, replayed, refused, "dead-lettered": deadLettered, rejected, duplicated };
  const told = Object.entries(parts).map(([name, number]) => `${count(number)} ${name}`);
  return `${count(rows)} rows = ${told.join(" + ")}`;
}

function describe(status: ImportStatus): string {
  const lines = {
    import: status.id,
    state: status.reason === undefined ? status.state : `${status.state}: ${status.reason}`,
    rows: countsOf(status),
    source: status.source,
    target: status.target,
    begun: status.createdAt.toISOString(),
    "last heard": status.updatedAt.toISOString(),
    ...(status.publishedAt === undefined ? {} : { published: status.publishedAt.toISOString() }),
  };
  return Object.entries(lines)
    .map(([label, value]) => `${label.padEnd(12)}${printable(value)}\n`)
    .join("");
}
