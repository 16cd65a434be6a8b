/**
 * One pod: a process that serves a queue of either broker with a handler wrapped in withClaim, with Redlock as the outer lock.
 * Input: one argument, JSON of `PodOptions`. It works until it is killed, or told to stop by SIGTERM.
 */
import { Redis } from "ioredis";
import pg from "pg";
import { createExclaim } from "../../src/index.ts";
import { redlock } from "../../src/lock/redlock.ts";
import type { BrokerName } from "./broker.ts";
import { serveBullmq } from "./bullmq-pod.ts";
import { serveRabbitmq } from "./rabbitmq-pod.ts";
import { seeded, signUpService, VOUCHER_POOL, type Voucher } from "./sign-up-service.ts";

export interface PodOptions {
  readonly broker: BrokerName;
  readonly brokerUrl: string;
  readonly queue: string;
  readonly databaseUrl: string;
  /** The Redis of the outer lock. */
  readonly lockUrl: string;
  readonly seed: number;
}

const TTL_MS = 2_000;
const SERVE = { BullMQ: serveBullmq, RabbitMQ: serveRabbitmq };

const options = JSON.parse(process.argv[2] ?? "{}") as PodOptions;
const database = new pg.Pool({ connectionString: options.databaseUrl, max: 8 });
const redis = new Redis(options.lockUrl, { maxRetriesPerRequest: 1 });
const exclaim = createExclaim({ database, lock: redlock([redis]), ttlMs: TTL_MS });
const chance = seeded(options.seed);
const service = signUpService(exclaim.pool<Voucher>(VOUCHER_POOL), chance, () => chance() * 20);
const served = await SERVE[options.broker](options.brokerUrl, options.queue, service);

process.once("SIGTERM", async () => {
  const closing = served.close();
  await exclaim.close({ drainMs: 5_000 });
  await closing;
  redis.disconnect();
  await database.end();
});

process.stdout.write("ready\n");
