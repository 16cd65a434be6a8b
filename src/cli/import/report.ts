import { type Command, InvalidArgumentError, Option } from "commander";
import type { ImportReportRow } from "../../ledger/imports.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { writeOut } from "../output.ts";
import type { ImportFormat } from "./import-settings.ts";
import { importsOf } from "./imports-of.ts";

export interface ImportReportOptions extends DatabaseFlags {
  readonly state?: readonly ImportReportRow["state"][];
  readonly format: ImportFormat;
}

const STATES = ["pending", "claimed", "replayed", "refused", "dead-lettered", "rejected", "duplicated"] as const;
/** Written at once: a write for each row would be most of the work. */
const MIN_WRITE_LENGTH = 16_384;

export function addImportReport(imports: Command, cli: Cli): void {
  addDatabaseOptions(imports.command("report"))
    .description("print every row of an import and what became of it, in the order of the file")
    .argument("<id>")
    .option("--state <states>", `only rows in these states, parted by commas: ${STATES.join(", ")}`, parseStates)
    .addOption(new Option("--format <format>", "of the report").choices(["csv", "ndjson"]).default("csv"))
    .addHelpText(
      "after",
      `
Columns: line, key, state, pool, resource_id, code, reason, settled_at. It is streamed, however long it is.

Examples:
  exclaim import report employees-3f9a1c --state refused,dead-lettered,rejected > to-look-at.csv
  exclaim import report employees-3f9a1c --format ndjson | jq -r .key | head
${DATABASE_HELP}`,
    )
    .action((id: string, options: ImportReportOptions) => cli.run(() => runImportReport(id, options, cli.deps)));
}

/** Prints the rows of an import; ends quietly once nobody reads on. Throws IMPORT_UNKNOWN; the signal's reason. */
export async function runImportReport(id: string, options: ImportReportOptions, deps: CliDeps): Promise<number> {
  const { state: states, format } = options;
  await withDatabase(options, deps, async (database) => {
    let text = "";
    let isHeaded = format === "ndjson";
    for await (const row of importsOf(database).report(id)) {
      deps.signal.throwIfAborted();
      if (!isHeaded) text += csvLine(CSV_COLUMNS);
      isHeaded = true;
      if (states !== undefined && !states.includes(row.state)) continue;
      text += format === "csv" ? csvLine(cellsOf(row)) : `${JSON.stringify(fieldsOf(row))}\n`;
      if (text.length < MIN_WRITE_LENGTH) continue;
      if (!(await writeOut(deps.stdout, text))) return;
      text = "";
    }
    if (!isHeaded) text += csvLine(CSV_COLUMNS);
    if (text !== "") await writeOut(deps.stdout, text);
  });
  return EXIT.done;
}

const CSV_COLUMNS = ["line", "key", "state", "pool", "resource_id", "code", "reason", "settled_at"];

/** As the columns are called. What is unknown is null. */
function fieldsOf(row: ImportReportRow): Readonly<Record<string, string | number | null>> {
  return {
    line: row.line,
    key: row.key ?? null,
    state: row.state,
    pool: row.pool ?? null,
    resource_id: row.resourceId ?? null,
    code: row.code ?? null,
    reason: row.reason ?? null,
    settled_at: row.settledAt?.toISOString() ?? null,
  };
}

function cellsOf(row: ImportReportRow): string[] {
  return Object.values(fieldsOf(row)).map((value) => String(value ?? ""));
}

/** Source: RFC 4180, section 2. */
function csvLine(cells: readonly string[]): string {
  const quoted = cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(",")}\r\n`;
}

function parseStates(text: string): ImportReportRow["state"][] {
  return text.split(",").map((name) => {
    const state = STATES.find((each) => each === name.trim());
    if (state === undefined) throw new InvalidArgumentError(`Allowed are ${STATES.join(", ")}.`);
    return state;
  });
}
