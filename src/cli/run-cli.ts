import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addClaims } from "./claims/add-claims.ts";
import type { Cli } from "./cli.ts";
import type { CliDeps } from "./cli-deps.ts";
import { addDemo } from "./demo.ts";
import { EXIT, EXIT_CODES_HELP, exitCodeOf, Interrupted, interruptCode, UsageError } from "./exit-codes.ts";
import { explainError } from "./explain-error.ts";
import { addImport } from "./import/add-import.ts";
import { addMigrate } from "./migrate.ts";
import { addOutbox } from "./outbox/add-outbox.ts";
import type { ProgressStream } from "./progress.ts";
import { redactor } from "./redact.ts";

const ROOT_HELP = `
exclaim <command> --help says more of each.

Environment:
  DATABASE_URL    the PostgreSQL that holds the ledger
  REDIS_URL       the Redis of BullMQ
  AMQP_URL        the RabbitMQ
${EXIT_CODES_HELP}

Results go to stdout; progress, warnings and errors to stderr. Passwords are printed nowhere.`;

/** Commander's own words for "help was printed", which is not an error, and for "a command is missing", which is. */
const HELP_CODES = ["commander.helpDisplayed", "commander.version"];
const MISSING_COMMAND = "commander.help";

/**
 * Runs a command line. Returns its exit code; never throws and never ends the process.
 * Shape: arguments without the program's name.
 */
export async function runCli(args: readonly string[], outside: CliDeps): Promise<number> {
  const redact = redactor(outside.env, args);
  const deps: CliDeps = { ...outside, stderr: redacted(outside.stderr, redact) };
  const tell = (text: string) => deps.stderr.write(`${text}\n`);
  let code: number = EXIT.done;
  const cli: Cli = {
    deps,
    async run(command) {
      code = await command();
    },
  };
  const program = programOf(cli);
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return usageExit(error, args, program, tell);
    if (deps.signal.aborted) {
      tell(`exclaim: ${deps.signal.reason instanceof Interrupted ? deps.signal.reason.message : "interrupted"}`);
      return interruptCode(deps.signal);
    }
    tell(explainError(error, args.includes("--verbose")));
    if (error instanceof UsageError) tell(`${addressed(args, program)} --help says what can be asked for.`);
    return exitCodeOf(error, args[0] === "import");
  }
}

function programOf(cli: Cli): Command {
  const program = new Command("exclaim")
    .description("Every message gets a resource of its own: the ledger, imports, claims and the outbox from the command line.")
    .usage("<command> [options]")
    .version(version(), "-v, --version", "print the version")
    .helpOption("-h, --help", "print this")
    .helpCommand(false)
    // `import` and `import status` may have an option of one name.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.deps.stdout.write(text),
      writeErr: (text) => cli.deps.stderr.write(text),
      // Told in one line where the error is caught.
      outputError: () => {},
    })
    .addHelpText("after", ROOT_HELP);
  addMigrate(program, cli);
  addImport(program, cli);
  addClaims(program, cli);
  addOutbox(program, cli);
  addDemo(program, cli);
  for (const command of everyCommand(program)) {
    if (command.commands.length === 0 || command.name() === "import") {
      command.option("--verbose", "print the stack of an error and of its causes");
    }
  }
  return program;
}

function usageExit(error: CommanderError, args: readonly string[], program: Command, tell: (text: string) => void): number {
  if (HELP_CODES.includes(error.code)) return EXIT.done;
  const path = addressed(args, program);
  if (error.code === MISSING_COMMAND) tell(`\nexclaim: which command? ${path} --help lists them.`);
  else
    tell(
      `exclaim: ${error.message.replace(/^error: /, "").replace(/(?<!\s)\s*\n\s*/g, " ")}\n${path} --help says what can be asked for.`,
    );
  return EXIT.usage;
}

/** The command that the arguments name, as far as there is one. */
function addressed(args: readonly string[], program: Command): string {
  let command = program;
  for (const arg of args) {
    const next = command.commands.find((each) => each.name() === arg);
    if (next === undefined) break;
    command = next;
  }
  return pathOf(command);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function everyCommand(command: Command): readonly Command[] {
  return command.commands.flatMap((each) => [each, ...everyCommand(each)]);
}

function redacted(stream: ProgressStream, redact: (text: string) => string): ProgressStream {
  return {
    get isTTY() {
      return stream.isTTY ?? false;
    },
    get columns() {
      return stream.columns ?? 80;
    },
    write: (text) => stream.write(redact(text)),
  };
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
