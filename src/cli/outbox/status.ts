import type { Command } from "commander";
import { systemClock } from "../../clock.ts";
import type { OutboxAdmin, OutboxStatus, ParkedMessage } from "../../ledger/outbox-status.ts";
import { postgresOutbox } from "../../ledger/postgres-outbox.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags, wholeNumber } from "../connection-flags.ts";
import { type OpenDatabase, withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { tableText, writeJson, writeOut } from "../output.ts";

export interface OutboxStatusOptions extends DatabaseFlags {
  readonly limit: number;
  readonly json?: boolean;
}

export function addOutboxStatus(outbox: Command, cli: Cli): void {
  addDatabaseOptions(outbox.command("status"))
    .description("count what waits, was sent and is parked, and say why")
    .option("--limit <n>", "list at most so many parked messages", wholeNumber(0, 100_000), 20)
    .option("--json", "print one JSON object: the counts, and parkedMessages")
    .addHelpText(
      "after",
      `\nA message is parked once the broker has refused it too often; exclaim outbox retry sends it again.\n${DATABASE_HELP}`,
    )
    .action((options: OutboxStatusOptions) => cli.run(() => runOutboxStatus(options, cli.deps)));
}

export function outboxOf({ pool, schema }: OpenDatabase): OutboxAdmin {
  return postgresOutbox({ database: pool, clock: systemClock, schema });
}

/** Prints the state of the outbox. Payloads are not printed. */
export async function runOutboxStatus(options: OutboxStatusOptions, deps: CliDeps): Promise<number> {
  return withDatabase(options, deps, async (database) => {
    const outbox = outboxOf(database);
    const status = await outbox.outboxStatus();
    const parked: ParkedMessage[] = [];
    if (options.limit > 0) for await (const message of outbox.parkedMessages({ limit: options.limit })) parked.push(message);
    if (options.json) await writeJson(deps.stdout, { ...status, parkedMessages: parked });
    else await writeOut(deps.stdout, describe(status, parked));
    return EXIT.done;
  });
}

function describe({ waiting, due, oldestWaitingMs, parked, sent }: OutboxStatus, messages: readonly ParkedMessage[]): string {
  const oldest = oldestWaitingMs === null ? "" : `, the oldest for ${(oldestWaitingMs / 1_000).toFixed(1)} s`;
  const counts = `waiting     ${waiting}: ${due} due${oldest}\nparked      ${parked}\nsent        ${sent}\n`;
  if (messages.length === 0) return counts;
  const rows = messages.map(({ id, topic, kind, pool, claimant, attempts, reason, parkedAt }) => [
    id,
    topic,
    `${kind} ${pool} ${claimant}`,
    String(attempts),
    parkedAt.toISOString(),
    reason,
  ]);
  return `${counts}\n${tableText(["PARKED", "TOPIC", "BY", "ATTEMPTS", "AT", "REASON"], rows)}`;
}
