import type { ChannelModel } from "amqplib";
import type { Redis } from "ioredis";
import type pg from "pg";
import { ExclaimError } from "../errors.ts";
import type { TargetOptions, TargetSource } from "../outbox/target-of.ts";
import type { CliDeps } from "./cli-deps.ts";
import {
  type BrokerAddress,
  type BrokerFlags,
  brokerAddress,
  type DatabaseFlags,
  databaseAddress,
} from "./connection-flags.ts";
import { UsageError } from "./exit-codes.ts";
import { reasonOf } from "./explain-error.ts";
import { importPackage } from "./import-package.ts";
import { present } from "./present.ts";

const CONNECT_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 2_000;
/** A run of an import uses one for its record and its rows; the others are for a person's questions beside it. */
const MAX_DATABASE_CONNECTIONS = 3;
/** Between two tries of a job; each further pause is twice as long. */
const FIRST_RETRY_MS = 1_000;
/** RabbitMQ's code for a queue or exchange that is not there. */
const NOT_FOUND = 404;
/** While Redis is away for longer, a command fails instead of waiting for ever. */
const MAX_REDIS_RETRIES = 10;

/** A database that was seen to answer. */
export interface OpenDatabase {
  readonly pool: pg.Pool;
  readonly schema: string;
}

/** A queue of a broker that was seen to answer. */
export interface OpenQueue {
  readonly to: TargetSource;
  readonly options: TargetOptions;
  /** Aborted, with a BROKER_UNREACHABLE, once the connection is gone for good. Redis's comes back by itself. */
  readonly lost: AbortSignal;
}

export interface QueueFlags extends BrokerFlags {
  readonly queue?: string;
  readonly exchange?: string;
  readonly routingKey?: string;
  /** BullMQ: how often a job is tried. */
  readonly attempts?: number;
}

/** Runs `work` with a database, and closes it. Throws UsageError; CONFIG_INVALID: `pg` is missing; DATABASE_UNREACHABLE. */
export async function withDatabase<T>(
  flags: DatabaseFlags,
  deps: Pick<CliDeps, "env" | "signal">,
  work: (database: OpenDatabase) => Promise<T>,
): Promise<T> {
  const { url, origin } = databaseAddress(flags, deps.env);
  const { default: driver } = await importPackage("pg", () => import("pg"));
  const pool = new driver.Pool({
    connectionString: url,
    max: MAX_DATABASE_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    application_name: "exclaim",
  });
  // An idle connection that breaks is replaced; a statement that fails says so itself.
  pool.on("error", () => {});
  try {
    await within(pool.query("select 1"), CONNECT_LIMIT_MS, deps.signal).catch((cause: unknown) => {
      deps.signal.throwIfAborted();
      throw unreachable("DATABASE_UNREACHABLE", origin, cause);
    });
    return await work({ pool, schema: flags.schema });
  } finally {
    await quietly(pool.end());
  }
}

/** Runs `work` with a queue of the broker that flags and environment name, and closes it. Throws UsageError, CONFIG_INVALID, BROKER_UNREACHABLE. */
export async function withQueue<T>(
  flags: QueueFlags,
  deps: Pick<CliDeps, "env" | "signal">,
  work: (queue: OpenQueue) => Promise<T>,
): Promise<T> {
  const opening: Opening<T> = { address: brokerAddress(flags, deps.env), flags, signal: deps.signal, work };
  return opening.address.kind === "redis" ? withBullmq(opening) : withRabbitmq(opening);
}

interface Opening<T> {
  readonly address: BrokerAddress;
  readonly flags: QueueFlags;
  readonly signal: AbortSignal;
  readonly work: (queue: OpenQueue) => Promise<T>;
}

async function withBullmq<T>({ address, flags, signal, work }: Opening<T>): Promise<T> {
  if (flags.exchange !== undefined || flags.routingKey !== undefined) {
    throw new UsageError("--exchange and --routing-key are for RabbitMQ; BullMQ has queues alone");
  }
  const name = flags.queue ?? "";
  if (name === "" || name.includes(":")) {
    throw new UsageError("--queue: BullMQ takes no queue whose name is empty or holds a colon");
  }
  const bullmq = await importPackage("bullmq", () => import("bullmq"));
  const redis = await connectRedis(address, signal);
  try {
    const queue = new bullmq.Queue(name, { connection: redis, ...present({ prefix: flags.prefix }) });
    queue.on("error", () => {});
    const { attempts } = flags;
    const jobOptions = attempts === undefined ? {} : { attempts, backoff: { type: "exponential", delay: FIRST_RETRY_MS } };
    try {
      return await work({ to: queue, options: { jobOptions }, lost: new AbortController().signal });
    } finally {
      await quietly(queue.close());
    }
  } finally {
    redis.disconnect();
  }
}

async function connectRedis({ url, origin }: BrokerAddress, signal: AbortSignal): Promise<Redis> {
  const { Redis } = await importPackage("ioredis", () => import("ioredis"));
  let isConnected = false;
  let broken: unknown;
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_LIMIT_MS,
    maxRetriesPerRequest: MAX_REDIS_RETRIES,
    // At first once: who mistyped an address wants to know. Later anew, for as long as there are commands that wait.
    retryStrategy: (times) => (isConnected ? Math.min(times * 100, 1_000) : null),
  });
  redis.on("error", (error) => {
    // The promise only tells that the connection is closed; the first event tells why.
    broken ??= error;
  });
  const answered = redis.connect().then(() => redis.ping());
  try {
    await within(answered, CONNECT_LIMIT_MS, signal);
  } catch (cause) {
    redis.disconnect();
    signal.throwIfAborted();
    throw unreachable("BROKER_UNREACHABLE", origin, broken ?? cause);
  }
  isConnected = true;
  return redis;
}

async function withRabbitmq<T>({ address, flags, signal, work }: Opening<T>): Promise<T> {
  const { queue, exchange, routingKey } = flags;
  if ((queue === undefined) === (exchange === undefined)) {
    throw new UsageError("RabbitMQ: give --queue, or --exchange with --routing-key");
  }
  const { connect } = await importPackage("amqplib", () => import("amqplib"));
  const connecting = connect(address.url, { timeout: CONNECT_LIMIT_MS });
  const connection = await within(connecting, CONNECT_LIMIT_MS, signal).catch((cause: unknown) => {
    // It may come to something after all, and would then keep the process alive.
    connecting.then((late) => quietly(late.close())).catch(() => {});
    signal.throwIfAborted();
    throw unreachable("BROKER_UNREACHABLE", address.origin, cause);
  });
  const lost = new AbortController();
  let broken: unknown;
  const onError = (error: unknown) => {
    broken ??= error;
  };
  const onClose = () => {
    const why = reasonOf(broken ?? "it was closed");
    lost.abort(
      new ExclaimError("BROKER_UNREACHABLE", `the connection to ${address.origin} has broken: ${why}`, { cause: broken }),
    );
  };
  connection.on("error", onError);
  try {
    await assertExists(connection, flags);
    const channel = await within(connection.createConfirmChannel(), CONNECT_LIMIT_MS, signal);
    channel.on("error", onError);
    // Also when the connection goes, which takes its channels with it.
    channel.on("close", onClose);
    return await work({
      to: channel,
      options: present({ queue, exchange, routingKey }),
      lost: lost.signal,
    });
  } finally {
    await quietly(connection.close());
  }
}

/** Throws CONFIG_INVALID: RabbitMQ has no such queue or exchange. Each single message would be refused for it. */
async function assertExists(
  connection: ChannelModel,
  { queue, exchange }: Pick<QueueFlags, "queue" | "exchange">,
): Promise<void> {
  // The server closes a channel that asks for what is not there.
  const channel = await within(connection.createChannel(), CONNECT_LIMIT_MS);
  channel.on("error", () => {});
  try {
    if (queue !== undefined) await within(channel.checkQueue(queue), CONNECT_LIMIT_MS);
    if (exchange !== undefined) await within(channel.checkExchange(exchange), CONNECT_LIMIT_MS);
    await quietly(channel.close());
  } catch (cause) {
    // Another connection's own queue may not be looked at, and may well be published to.
    if (!(cause instanceof Error && "code" in cause && cause.code === NOT_FOUND)) return;
    const what = queue === undefined ? `exchange ${exchange}` : `queue ${queue}`;
    throw new ExclaimError("CONFIG_INVALID", `RabbitMQ has no ${what}: declare it first`, { cause });
  }
}

function unreachable(code: "DATABASE_UNREACHABLE" | "BROKER_UNREACHABLE", origin: string, cause: unknown): ExclaimError {
  return new ExclaimError(code, `the server of ${origin} does not answer as it should: ${reasonOf(cause)}`, { cause });
}

/** What a promise comes to, or an error once the time is over or the signal aborted. */
async function within<T>(promise: Promise<T>, limitMs: number, signal?: AbortSignal): Promise<T> {
  // Which of the two is late is of no concern any more.
  promise.catch(() => {});
  signal?.throwIfAborted();
  let giveUp: (reason: unknown) => void = () => {};
  const late = new Promise<never>((_resolve, reject) => {
    giveUp = reject;
  });
  const onAbort = () => giveUp(signal?.reason);
  const timer = setTimeout(() => giveUp(new Error(`no answer within ${limitMs / 1_000} s`)), limitMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Closing is the last thing done: a server that does not answer to it must not hold the process. */
async function quietly(closing: Promise<unknown>): Promise<void> {
  await within(closing, CLOSE_LIMIT_MS).catch(() => {});
}
