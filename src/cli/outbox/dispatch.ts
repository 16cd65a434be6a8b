import type { Command } from "commander";
import { dispatchOutbox } from "../../outbox/dispatch-outbox.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addBrokerOptions, addDatabaseOptions, BROKER_HELP, type DatabaseFlags, wholeNumber } from "../connection-flags.ts";
import { type QueueFlags, withDatabase, withQueue } from "../connections.ts";
import { EXIT, interruptCode, UsageError } from "../exit-codes.ts";
import { explainError } from "../explain-error.ts";

export interface OutboxDispatchOptions extends DatabaseFlags, QueueFlags {
  readonly drain?: boolean;
}

export function addOutboxDispatch(outbox: Command, cli: Cli): void {
  const command = outbox
    .command("dispatch")
    .description("send what claims published to a queue, until it is interrupted")
    .option("--queue <name>", "the queue of every topic")
    .option("--exchange <name>", "RabbitMQ: an exchange instead of a queue; a message's routing key is its topic")
    .option("--routing-key <key>", "RabbitMQ with --exchange: one routing key for all")
    .option("--attempts <n>", "BullMQ: how often a job is tried", wholeNumber(1))
    .option("--drain", "end once nothing waits that is due");
  addBrokerOptions(addDatabaseOptions(command))
    .addHelpText(
      "after",
      `
Many may run side by side. Interrupted, it ends after the batch in hand, with exit code 0; before --drain is done, with the
signal's: 130, 143 or 129.

Examples:
  exclaim outbox dispatch --queue mails
  exclaim outbox dispatch --broker amqp --exchange notifications
${BROKER_HELP}`,
    )
    .action((options: OutboxDispatchOptions) => cli.run(() => runOutboxDispatch(options, cli.deps)));
}

/** Sends until the signal, which is how this command is meant to end: 0. With `drain` it is not: the signal's code. */
export async function runOutboxDispatch(options: OutboxDispatchOptions, deps: CliDeps): Promise<number> {
  if ((options.queue === undefined) === (options.exchange === undefined))
    throw new UsageError("where do the messages go? --queue");
  const tell = (text: string) => deps.stderr.write(`${text}\n`);
  return withDatabase(options, deps, ({ pool: database, schema }) =>
    withQueue(options, deps, async ({ to, options: target, lost }) => {
      await using dispatcher = dispatchOutbox({
        database,
        schema,
        to,
        ...target,
        onError: (error) => tell(explainError(error, false)),
      });
      tell(`sending to ${options.queue ?? options.exchange}${options.drain ? "" : ", until it is interrupted"}`);
      const ended = aborted(AbortSignal.any([deps.signal, lost]));
      const drained = options.drain ? dispatcher.drain().then(() => true) : ended;
      const isDrained = await Promise.race([drained, ended]);
      if (!deps.signal.aborted) lost.throwIfAborted();
      return options.drain && !isDrained ? interruptCode(deps.signal) : EXIT.done;
    }),
  );
}

/** Comes to false: it is what is raced against. */
function aborted(signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(false);
    else signal.addEventListener("abort", () => resolve(false), { once: true });
  });
}
