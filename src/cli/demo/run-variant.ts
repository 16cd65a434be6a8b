import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerSettings, DemoQueue } from "./broker.ts";
import { createVariant } from "./create-variant.ts";
import { openPool, withClient } from "./database.ts";
import { fanOut } from "./fan-out.ts";
import { countUntold, notificationsOf } from "./notifications.ts";
import { openBroker } from "./open-broker.ts";
import { Pods } from "./pods.ts";
import { type Score, score } from "./score.ts";
import type { Schemas, Variant } from "./variant.ts";

export const PODS = 4;
export const CONCURRENCY = 8;

/** How often the queue is asked how far it is. */
const LOOK_EVERY_MS = 150;
/** A queue that settles nothing for this long has lost what is left. */
const STANDSTILL_MS = 20_000;

export interface VariantRun {
  readonly variant: Variant;
  readonly databaseUrl: string;
  readonly schemas: Schemas;
  readonly broker: BrokerSettings;
  /** The Redis whose Redlock is the lock. Without one the locks are in the database. */
  readonly redisUrl: string | undefined;
  /** Stops the run: it ends its pods and throws the signal's reason. */
  readonly signal: AbortSignal;
  /** Called every time the run is looked at. */
  readonly report: (state: VariantState) => void;
}

/** How far a run is. */
export interface VariantState {
  readonly variant: Variant;
  readonly settled: number;
  /** 0 until every message is published. */
  readonly delivered: number;
  readonly killed: number;
  readonly ms: number;
}

/**
 * Runs one handler over all messages: pods are started, every message is published, one pod is killed half-way and replaced.
 * After: no pod and no queue is left, and the score is counted from the tables.
 */
export async function runVariant(run: VariantRun): Promise<Score> {
  const { variant, databaseUrl, schemas, broker, redisUrl } = run;
  const schema = schemas.variants[variant];
  await withClient(databaseUrl, (client) => createVariant(client, schemas.imported, schema));
  const database = await openPool(databaseUrl, schema, 2);
  const pods = new Pods({ variant, databaseUrl, schemas, broker, redisUrl, queue: schema, concurrency: CONCURRENCY });
  let queue: DemoQueue | undefined;
  let notifications: DemoQueue | undefined;
  try {
    queue = await openBroker(broker).openQueue(schema, database);
    // The handlers written by hand notify as they go.
    if (variant === "withClaim") notifications = await openBroker(broker).openQueue(notificationsOf(schema), database);
    run.report({ variant, settled: 0, delivered: 0, killed: 0, ms: 0 });
    await pods.start(PODS);
    const begun = performance.now();
    const delivered = await fanOut(database, schemas.imported, queue);
    const untold = async () => (notifications === undefined ? 0 : countUntold(database, schemas.ledger));
    const ms = await watch(run, { queue, pods, delivered, begun, untold });
    await pods.stop();
    await queue.recordSettled();
    await database.query("analyze app_user, voucher_item, notification, assignment, message");
    return await score(database, ms);
  } finally {
    await pods.kill();
    await queue?.remove();
    await notifications?.remove();
    await database.end();
  }
}

interface Watched {
  readonly queue: DemoQueue;
  readonly pods: Pods;
  readonly delivered: number;
  readonly begun: number;
  /** Messages of the outbox that are under way. */
  readonly untold: () => Promise<number>;
}

/** Looks on until every message is settled and everybody told, kills one pod half-way, and returns how long it took. */
async function watch(run: VariantRun, { queue, pods, delivered, begun, untold }: Watched): Promise<number> {
  let killed = 0;
  let settled = 0;
  let left = 0;
  let movedAt = performance.now();
  for (;;) {
    run.signal.throwIfAborted();
    pods.assertAlive();
    const settledNow = await queue.countSettled();
    const leftNow = await untold();
    const now = performance.now();
    if (settledNow > settled || leftNow !== left) movedAt = now;
    settled = settledNow;
    left = leftNow;
    run.report({ variant: run.variant, settled, delivered, killed, ms: now - begun });
    if ((settled >= delivered && left === 0) || now - movedAt > STANDSTILL_MS) return now - begun;
    if (killed === 0 && settled >= delivered / 2) {
      await pods.killOne();
      killed = 1;
      await pods.start(1);
    }
    await sleep(LOOK_EVERY_MS);
  }
}
