import { randomUUID } from "node:crypto";
import type { EventEmitter } from "node:events";
import * as bullmq6 from "bullmq";
import * as bullmq5 from "bullmq-5";
import { afterAll } from "vitest";
import { type BullmqQueue, bullmqTarget } from "../../src/outbox/bullmq.ts";
import type { TargetFixture } from "../conformance/target-conformance.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";

/** What the tests use of a queue of either major, on either backend. */
export interface TestQueue extends BullmqQueue, Pick<EventEmitter, "eventNames" | "listenerCount"> {
  add(name: string, data: unknown, options?: object): Promise<unknown>;
  getJobs(states: string[], start: number, end: number, isAscending: boolean): Promise<TestJob[]>;
  on(event: "error", listener: () => void): unknown;
  obliterate(options: { force: boolean }): Promise<void>;
  close(): Promise<void>;
}

interface TestJob {
  readonly id?: string | undefined;
  readonly name: string;
  readonly data: unknown;
  readonly opts: object;
}

export interface BullmqBed extends TargetFixture {
  readonly queue: TestQueue;
  jobs(): Promise<readonly TestJob[]>;
}

type OpenQueue = (url: string, name: string) => TestQueue;

/** The queues of a test file, by what they are called. */
export const bullmqBeds: readonly (readonly [name: string, open: () => Promise<BullmqBed>])[] = [
  [
    "BullMQ 6 on Redis",
    () => openBed(redisUrl(), true, (url, name) => new bullmq6.Queue(name, onRedis(url)) as unknown as TestQueue),
  ],
  [
    "BullMQ 5 on Redis",
    () => openBed(redisUrl(), true, (url, name) => new bullmq5.Queue(name, onRedis(url)) as unknown as TestQueue),
  ],
  ["BullMQ 6 on PostgreSQL", openOnPostgres],
];

function onRedis(address: string): { connection: object } {
  const url = new URL(address);
  const db = Number(url.pathname.slice(1)) || 0;
  return {
    connection: { host: url.hostname, port: Number(url.port), db, maxRetriesPerRequest: null, retryStrategy: () => 100 },
  };
}

async function openOnPostgres(): Promise<BullmqBed> {
  database ??= migrated();
  const { Queue } = bullmq6.withBackend(bullmq6.createPostgresBackend);
  return openBed((await database).url, false, (url, name) => {
    const connection = { connectionString: url, max: 2 } as never;
    return new Queue(name, { connection }) as unknown as TestQueue;
  });
}

/** The queue behind a proxy, and a second client of it that reads past the proxy. */
async function openBed(url: string, keepsNull: boolean, open: OpenQueue): Promise<BullmqBed> {
  const name = `q-${randomUUID()}`;
  const proxy = await startCutProxy(url);
  const queue = open(proxy.url, name);
  const reader = open(url, name);
  queue.on("error", () => {});
  const jobs = () => reader.getJobs(["waiting", "delayed", "prioritized"], 0, -1, true);
  return {
    queue,
    jobs,
    target: bullmqTarget(queue),
    impatient: bullmqTarget(queue, { sendTimeoutMs: 100 }),
    dropsRepeats: true,
    keepsNull,
    refusedId: "42",
    async received() {
      return (await jobs()).map(({ id = "", name: topic, data: payload }) => ({ id, topic, payload }));
    },
    listeners: () => queue.eventNames().reduce((sum, event) => sum + queue.listenerCount(event), 0),
    async works() {
      return (await queue.add("by hand", {})) !== undefined;
    },
    cut: proxy.cut,
    hang: proxy.hang,
    async close() {
      proxy.heal();
      // What waits for a connection is sent now, and answered.
      await queue.getJobCounts("waiting");
      await queue.close();
      await reader.obliterate({ force: true });
      await reader.close();
      await proxy.close();
    },
  };
}

/** One database with BullMQ's schema for all queues of a test file. */
let database: Promise<FreshDatabase> | undefined;

afterAll(async () => {
  await (await database)?.drop();
});

async function migrated(): Promise<FreshDatabase> {
  const fresh = await freshDatabase();
  const client = await fresh.pool.connect();
  await bullmq6.runMigrations(client);
  client.release();
  return fresh;
}
