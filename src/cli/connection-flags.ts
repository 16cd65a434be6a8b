import { type Command, InvalidArgumentError, Option } from "commander";
import type { CliDeps } from "./cli-deps.ts";
import { UsageError } from "./exit-codes.ts";

/** Which database. */
export interface DatabaseFlags {
  readonly databaseUrl?: string;
  readonly schema: string;
}

/** Which broker. */
export interface BrokerFlags {
  readonly broker?: BrokerKind;
  readonly redisUrl?: string;
  readonly amqpUrl?: string;
  readonly prefix?: string;
}

export type BrokerKind = "redis" | "amqp";

export interface BrokerAddress {
  readonly kind: BrokerKind;
  readonly url: string;
  /** The flag or variable it is from, for people. */
  readonly origin: string;
}

export const DATABASE_HELP = `
Environment:
  DATABASE_URL    the PostgreSQL that holds the ledger, where there is no --database-url`;

export const BROKER_HELP = `${DATABASE_HELP}
  REDIS_URL       the Redis of the BullMQ queue, where there is no --redis-url
  AMQP_URL        the RabbitMQ of the queue, where there is no --amqp-url
An address on the command line can be seen by others of this machine; one in the environment cannot.`;

export function addDatabaseOptions(command: Command): Command {
  return command
    .option("--database-url <url>", "the PostgreSQL of the ledger (DATABASE_URL)")
    .option("--schema <name>", "the schema of the ledger", "exclaim");
}

export function addBrokerOptions(command: Command): Command {
  return addBrokerAddressOptions(
    command.addOption(new Option("--broker <kind>", "which broker, where two are at hand").choices(["redis", "amqp"])),
  ).option("--prefix <prefix>", "BullMQ: the prefix of its keys, where it is not bull");
}

/** For who knows already which broker it is. */
export function addBrokerAddressOptions(command: Command): Command {
  return command
    .option("--redis-url <url>", "the Redis of BullMQ (REDIS_URL)")
    .option("--amqp-url <url>", "the RabbitMQ (AMQP_URL)");
}

/** The address of the database. Throws UsageError: there is none, or it is no address. */
export function databaseAddress(flags: DatabaseFlags, env: CliDeps["env"]): { readonly url: string; readonly origin: string } {
  const address = addressOf(flags.databaseUrl, "--database-url", env.DATABASE_URL, "DATABASE_URL");
  if (address === undefined) throw new UsageError("which database? Set DATABASE_URL or give --database-url");
  return checked(address, ["postgres:", "postgresql:"]);
}

/** The broker to use. A flag goes before the environment. Throws UsageError: there is none, or two and nothing says which. */
export function brokerAddress(flags: BrokerFlags, env: CliDeps["env"]): BrokerAddress {
  const redis = addressOf(flags.redisUrl, "--redis-url", env.REDIS_URL, "REDIS_URL");
  const amqp = addressOf(flags.amqpUrl, "--amqp-url", env.AMQP_URL, "AMQP_URL");
  const kind = flags.broker ?? kindOf(flags, redis !== undefined, amqp !== undefined);
  const address = kind === "redis" ? redis : amqp;
  if (address === undefined) {
    const [flag, variable] = kind === "redis" ? ["--redis-url", "REDIS_URL"] : ["--amqp-url", "AMQP_URL"];
    throw new UsageError(`where is the broker? Set ${variable} or give ${flag}`);
  }
  return { kind, ...checked(address, kind === "redis" ? ["redis:", "rediss:"] : ["amqp:", "amqps:"]) };
}

function kindOf(flags: BrokerFlags, hasRedis: boolean, hasAmqp: boolean): BrokerKind {
  const byFlag = { redis: flags.redisUrl !== undefined, amqp: flags.amqpUrl !== undefined };
  if (byFlag.redis !== byFlag.amqp) return byFlag.redis ? "redis" : "amqp";
  if (hasRedis && hasAmqp)
    throw new UsageError("there are a Redis and a RabbitMQ: choose with --broker redis or --broker amqp");
  if (!hasRedis && !hasAmqp) throw new UsageError("which broker? Set REDIS_URL or AMQP_URL, or give --redis-url or --amqp-url");
  return hasRedis ? "redis" : "amqp";
}

function addressOf(flag: string | undefined, flagName: string, variable: string | undefined, variableName: string) {
  if (flag) return { url: flag, origin: flagName };
  return variable ? { url: variable, origin: variableName } : undefined;
}

/** Its text is not repeated: it may hold a password. */
function checked<A extends { readonly url: string; readonly origin: string }>(address: A, protocols: readonly string[]): A {
  const isAddress = URL.canParse(address.url) && protocols.includes(new URL(address.url).protocol);
  if (isAddress) return address;
  throw new UsageError(
    `${address.origin} is not an address of the kind ${protocols[0]}//user:password@host/name (in it, write @, /, # and : of a password as %40, %2F, %23 and %3A)`,
  );
}

/** Reads a whole number of an option. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER ? `A whole number from ${least} on.` : `A whole number from ${least} to ${most}.`,
    );
  };
}
