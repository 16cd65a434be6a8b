import { Child } from "../../child.ts";
import { type BenchSchema, Stage } from "../../stage.ts";
import type { BenchCase, BenchSizes, OpenCase, Round } from "../bench-case.ts";
import { migrateLedger } from "../migrate-ledger.ts";
import { assertLedgerAgrees, assertOneRowEach, createVoucherTable } from "../voucher-table.ts";
import type { Supply } from "./broker.ts";
import { BROKERS, type BrokerName } from "./brokers.ts";
import type { HandlerName, PodCalls, PodSettings } from "./pod-calls.ts";

/** Connections to the database of all pods of a case together, the same whatever they do there. */
const DATABASE_CONNECTIONS = 20;
/** Between two questions to a pod how far it is. The instants themselves are the pods' own. */
const LOOK_MS = 20;
/** A round that takes longer is stuck. */
const ROUND_LIMIT_MS = 120_000;

export interface QueueCaseSettings {
  readonly name: string;
  readonly broker: BrokerName;
  readonly brokerUrls: readonly string[];
  readonly handler: HandlerName;
  /** Nodes of the outer lock. */
  readonly lockUrls: readonly string[];
  readonly pods: number;
  /** Of one pod. */
  readonly concurrency: number;
  /** Of one round. */
  readonly jobs: number;
  /** Rows of its table, the same for all cases of a group: enough for the jobs of all rounds. */
  readonly rows: number;
  readonly database: BenchSchema;
  readonly stage: Stage;
}

/** How many rows a table needs so that every job of every round has one. */
export function rowsFor(jobs: number, sizes: BenchSizes): number {
  return jobs * (sizes.rounds + 1);
}

/** Jobs of one claimant each, in a queue of the case's own, consumed by its own processes from a table of its own. */
export function queueCase(settings: QueueCaseSettings): BenchCase {
  return { name: settings.name, open: () => openQueueCase(settings) };
}

async function openQueueCase(settings: QueueCaseSettings): Promise<OpenCase> {
  const { database, pods: podCount, handler } = settings;
  const stage = new Stage();
  settings.stage.atEnd(() => stage.end());
  const suffix = settings.name.replaceAll(/[^a-z0-9]/g, "_");
  const table = `${database.schema}.voucher_${suffix}`;
  const ledgerSchema = `${database.schema}_${suffix}`;
  if (handler !== "noop") await createVoucherTable(database.pool, table, settings.rows);
  if (hasLedger(handler)) await migrateLedger(stage, database, ledgerSchema);

  const place = { urls: settings.brokerUrls, queue: `${database.schema}_${suffix}` };
  const supply = await BROKERS[settings.broker].supply(place);
  stage.atEnd(() => supply.close());
  const pods = Array.from({ length: podCount }, () => Child.start<PodCalls>(stage, "claims/queue/pod.ts"));
  const podSettings: PodSettings = {
    broker: settings.broker,
    brokerUrls: place.urls,
    queue: place.queue,
    concurrency: settings.concurrency,
    handler,
    lockUrls: settings.lockUrls,
    databaseUrl: database.url,
    databaseConnections: Math.ceil(DATABASE_CONNECTIONS / podCount),
    table,
    ledgerSchema,
  };
  await Promise.all(pods.map((pod) => pod.ask("begin", podSettings)));

  let users = 0;
  return {
    async round() {
      await supply.fill(users + 1, settings.jobs);
      users += settings.jobs;
      return playRound(pods, settings.jobs);
    },
    async verify() {
      await assertEmpty(settings.name, supply);
      if (handler !== "noop") await assertOneRowEach(database.pool, table, users);
      if (handler === "hand-written") await assertAllDone(settings, table);
      if (hasLedger(handler)) await assertLedgerAgrees(database.pool, table, ledgerSchema);
    },
    async close() {
      await Promise.all(pods.map((pod) => pod.ask("close", undefined)));
      await stage.end();
    },
  };
}

/** From the first pod's start to the last job's end. */
async function playRound(pods: readonly Child<PodCalls>[], jobs: number): Promise<Round> {
  const starts = await Promise.all(pods.map((pod) => pod.ask("start", undefined)));
  const beganMs = Math.min(...starts);
  const deadlineMs = performance.now() + ROUND_LIMIT_MS;
  while (true) {
    const counts = await Promise.all(pods.map((pod) => pod.ask("count", undefined)));
    const fault = counts.find((count) => count.fault !== null)?.fault;
    if (fault !== undefined) throw new Error(`a pod failed: ${fault}`);
    const settled = counts.reduce((sum, count) => sum + count.settled, 0);
    if (settled > jobs) throw new Error(`${settled} jobs were settled where ${jobs} were added`);
    if (settled === jobs) {
      await Promise.all(pods.map((pod) => pod.ask("stop", undefined)));
      return { done: jobs, ms: Math.max(...counts.map(({ lastAtMs }) => lastAtMs)) - beganMs };
    }
    if (performance.now() > deadlineMs) throw new Error(`${settled} of ${jobs} jobs within ${ROUND_LIMIT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function assertEmpty(name: string, supply: Supply): Promise<void> {
  const left = await supply.left();
  if (left !== 0) throw new Error(`${name}: ${left} jobs are left in the queue`);
}

async function assertAllDone({ database }: QueueCaseSettings, table: string): Promise<void> {
  const { rows } = await database.pool.query(
    `select count(*)::int as wrong from ${table} where done is distinct from (user_id is not null)`,
  );
  if (rows[0]?.wrong !== 0) throw new Error(`${rows[0]?.wrong} rows of ${table} are not done though they have an owner`);
}

function hasLedger(handler: HandlerName): boolean {
  return handler === "with-claim-redlock" || handler === "with-claim-ledger";
}
