import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { type Command, Option } from "commander";
import { isImportId } from "../../ledger/import-message-id.ts";
import type { Imports } from "../../ledger/imports.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import {
  addBrokerOptions,
  addDatabaseOptions,
  BROKER_HELP,
  type BrokerFlags,
  brokerAddress,
  type DatabaseFlags,
  wholeNumber,
} from "../connection-flags.ts";
import { type OpenDatabase, withDatabase } from "../connections.ts";
import { UsageError } from "../exit-codes.ts";
import { present } from "../present.ts";
import { addImportCancel } from "./cancel.ts";
import { findFile, formatOf } from "./import-file.ts";
import { differingSettings, type ImportFormat, type ImportSettings, readSettings } from "./import-settings.ts";
import { addPaceOptions, importsOf } from "./imports-of.ts";
import { latestUnfinished } from "./latest-unfinished.ts";
import { addImportList } from "./list.ts";
import { addImportReport } from "./report.ts";
import { addImportResume } from "./resume.ts";
import { addMapping } from "./row-message.ts";
import { runImport } from "./run-import.ts";
import { addImportStatus } from "./status.ts";

export interface ImportOptions extends DatabaseFlags, BrokerFlags {
  readonly key?: string;
  readonly queue?: string;
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly map?: Readonly<Record<string, string>>;
  readonly id?: string;
  readonly resume?: boolean;
  readonly format?: ImportFormat;
  readonly delimiter?: string;
  readonly maxRejected?: number;
  readonly maxBacklog?: number;
  readonly chunk?: number;
  readonly attempts?: number;
  readonly json?: boolean;
}

const DEFAULT_ATTEMPTS = 3;

interface OpenImports {
  readonly database: OpenDatabase;
  readonly imports: Imports;
}

export function addImport(program: Command, cli: Cli): void {
  const command = program
    .command("import")
    .helpCommand(false)
    .usage("<file> --queue <name> --key <column> [options]\n       exclaim import <status|list|report|cancel|resume> ...")
    .description("publish a message for each row of a file, and follow what becomes of the rows")
    .argument("[file]", "CSV with a header, or NDJSON; a file called status is ./status")
    .option("--key <column>", "the column that a row is called by, the same whenever it is read")
    .option("--queue <name>", "the queue")
    .option("--exchange <name>", "RabbitMQ: an exchange instead of a queue")
    .option("--routing-key <key>", "RabbitMQ: the routing key of --exchange")
    .option(
      "--map <column=field>",
      "put this column, under that name, into the payload, and only what is mapped (repeatable; a column alone keeps its name)",
      addMapping,
    )
    .option("--id <id>", "the import's id (default: the file's name and some random characters)")
    .option(
      "--resume",
      "go on with the import of --id, else with the latest unfinished one of this very file to the same queue, else begin one",
    )
    .addOption(new Option("--format <format>", "what the file is (default: by its extension)").choices(["csv", "ndjson"]))
    .option("--delimiter <character>", "CSV: what parts the columns (default: found out)")
    .option("--attempts <n>", "BullMQ: how often a job is tried (default: 3)", wholeNumber(1));
  addPaceOptions(command).option("--json", "print one JSON object at the end, and nothing else on stdout");
  addBrokerOptions(addDatabaseOptions(command))
    .addHelpText("after", HELP)
    .action((file: string | undefined, options: ImportOptions) => cli.run(() => runImportCommand(file, options, cli.deps)));
  addImportStatus(command, cli);
  addImportList(command, cli);
  addImportReport(command, cli);
  addImportCancel(command, cli);
  addImportResume(command, cli);
}

const HELP = `
Nothing is doubled: an interrupted import goes on where it was, and a row that comes twice changes nothing. Interrupted once, it ends
after the chunk in hand; twice, at once.

Examples:
  exclaim import employees.csv --queue voucher --key id
  exclaim import employees.csv --queue voucher --key "Staff No" --map "Staff No=id" --map E-Mail=email
  exclaim import employees.csv --queue voucher --key id --max-rejected 100 --max-backlog 50000
  exclaim import resume employees-3f9a1c

--json prints {id, status, resumed, rows, published, rejected, duplicated, file, durationMs}; status is published, stopped, cancelled,
superseded or failed, which has {id, status, file, durationMs, error}, a code.

Exit codes:
  0               every row is with the broker
  1               every row is with the broker or was rejected, and some were
  2               the command line is wrong
  3               a server or package is missing, or broke: the import can be resumed
  4               cancelled, too many rejected, another file than before, refused by the database, or a newer run is under way
  130, 143, 129   it was interrupted: it can be resumed
${BROKER_HELP}`;

/** Begins an import, or with `resume` goes on with one. Returns as `runImport`. */
export async function runImportCommand(file: string | undefined, options: ImportOptions, deps: CliDeps): Promise<number> {
  if (file === undefined) throw new UsageError("which file?");
  const settings = await settingsOf(file, options, deps);
  return withDatabase(options, deps, async (database) => {
    const imports = importsOf(database);
    const id = await idOf(settings, options, { database, imports });
    return runImport({ id, settings, database, imports, flags: options, json: options.json ?? false }, deps);
  });
}

async function settingsOf(path: string, options: ImportOptions, deps: CliDeps): Promise<ImportSettings> {
  const { key, queue, exchange, routingKey, map, delimiter, prefix, maxRejected, maxBacklog, chunk } = options;
  if (key === undefined || key === "") throw new UsageError("which column is a row called by? --key");
  if ((queue === undefined) === (exchange === undefined)) throw new UsageError("where do the messages go? --queue");
  if (options.id !== undefined && !isImportId(options.id)) {
    throw new UsageError("--id: 1 to 64 letters, digits, _, . and -, and a hyphen at neither end");
  }
  const { kind } = brokerAddress(options, deps.env);
  const file = await findFile(path);
  const attempts = kind === "redis" ? { attempts: options.attempts ?? DEFAULT_ATTEMPTS } : {};
  if (kind === "amqp" && options.attempts !== undefined)
    throw new UsageError("--attempts is for BullMQ; RabbitMQ counts by itself");
  const given = { queue, exchange, routingKey, map, delimiter, prefix, maxRejected, maxBacklog, chunk };
  return { file, format: options.format ?? formatOf(file), key, broker: kind, ...attempts, ...present(given) };
}

async function idOf(settings: ImportSettings, { id, resume }: ImportOptions, open: OpenImports): Promise<string> {
  if (id === undefined) return (resume ? await latestUnfinished(open.database, settings) : undefined) ?? newId(settings.file);
  const found = await open.imports.get(id);
  if (found === null) return id;
  if (!resume) throw new UsageError(`there is an import ${id} already: --resume goes on with it, another --id begins one`);
  const differing = differingSettings(readSettings(id, found.settings), settings);
  if (differing.length > 0) {
    throw new UsageError(
      `import ${id} was begun with another ${differing.join(", another ")}: exclaim import resume ${id} goes on as it was begun, another --id begins one`,
    );
  }
  return id;
}

function newId(file: string): string {
  const name = basename(file)
    .replace(/\.[^.]*$/, "")
    .replace(/[^A-Za-z0-9_.-]+/g, "-")
    .replace(/^[-.]+|(?<![-.])[-.]+$/g, "")
    .slice(0, 40);
  return `${name || "import"}-${randomBytes(3).toString("hex")}`;
}
