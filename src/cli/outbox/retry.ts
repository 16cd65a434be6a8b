import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT, UsageError } from "../exit-codes.ts";
import { writeJson, writeOut } from "../output.ts";
import { outboxOf } from "./status.ts";

export interface OutboxRetryOptions extends DatabaseFlags {
  readonly all?: boolean;
  readonly json?: boolean;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function addOutboxRetry(outbox: Command, cli: Cli): void {
  addDatabaseOptions(outbox.command("retry"))
    .description("put parked messages back among those that wait")
    .argument("[ids...]", "as exclaim outbox status lists them")
    .option("--all", "every parked message")
    .option("--json", "print {retried} as one JSON object")
    .addHelpText(
      "after",
      `\nExit code 1: some of the ids are not parked.\n\nExamples:\n  exclaim outbox retry --all\n  exclaim outbox retry 8e2f0c1e-5a0b-4a55-9d0e-0f5f3a3f7c11\n${DATABASE_HELP}`,
    )
    .action((ids: string[], options: OutboxRetryOptions) => cli.run(() => runOutboxRetry(ids, options, cli.deps)));
}

/** Retries parked messages. 0: all that were named; 1: some are not parked. */
export async function runOutboxRetry(ids: readonly string[], options: OutboxRetryOptions, deps: CliDeps): Promise<number> {
  if ((ids.length === 0) === (options.all === undefined)) throw new UsageError("which messages? Their ids, or --all");
  const wrong = ids.find((id) => !UUID.test(id));
  if (wrong !== undefined) throw new UsageError(`${wrong} is no id of a message: exclaim outbox status lists them`);
  const asked = new Set(ids.map((id) => id.toLowerCase()));
  const retried = await withDatabase(options, deps, (database) =>
    outboxOf(database).retryParked(options.all ? "all" : [...asked]),
  );
  if (options.json) await writeJson(deps.stdout, { retried });
  else await writeOut(deps.stdout, `${retried} parked messages wait to be sent again\n`);
  if (options.all || retried === asked.size) return EXIT.done;
  deps.stderr.write(`exclaim: ${asked.size - retried} of them are not parked\n`);
  return EXIT.no;
}
