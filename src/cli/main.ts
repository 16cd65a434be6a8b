#!/usr/bin/env node
import { EXIT, INTERRUPTS, Interrupted } from "./exit-codes.ts";
import { explainError } from "./explain-error.ts";
import { redactor } from "./redact.ts";
import { runCli } from "./run-cli.ts";

const LINGER_MS = 500;

const args = process.argv.slice(2);
const { env, stdin, stdout, stderr } = process;

const interrupt = new AbortController();
for (const signal of Object.keys(INTERRUPTS) as (keyof typeof INTERRUPTS)[]) {
  process.on(signal, () => {
    const interrupted = new Interrupted(signal);
    // Who asks twice will not wait for a clean end.
    if (interrupt.signal.aborted) process.exit(interrupted.exitCode);
    stderr.write(`\nexclaim: ${signal}: it ends in good order; a second one ends it at once\n`);
    interrupt.abort(interrupted);
  });
}
// A reader that has seen enough, `head` for one: the write that fails tells its command.
stdout.on("error", () => {});
stderr.on("error", () => {});
process.on("uncaughtException", (error) => {
  stderr.write(`${redactor(env, args)(explainError(error, args.includes("--verbose")))}\n`);
  process.exit(EXIT.environment);
});

process.exitCode = await runCli(args, { env, stdin, stdout, stderr, signal: interrupt.signal });
// A connection that could neither be opened nor closed must not hold the process.
setTimeout(() => process.exit(), LINGER_MS).unref();
