import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { type BrokerSettings, type DemoQueue, openQueue } from "./broker.ts";
import { createVariant } from "./create-variant.ts";
import { openPool, withClient } from "./database.ts";
import { fanOut } from "./fan-out.ts";
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
 * After: no pod is left, and the score is counted from the tables.
 */
export async function runVariant(run: VariantRun): Promise<Score> {
  const { variant, databaseUrl, schemas, broker } = run;
  const schema = schemas.variants[variant];
  await withClient(databaseUrl, (client) => createVariant(client, schemas.imported, schema));
  const queue = await openQueue(broker, schema);
  const pods = new Pods({ variant, databaseUrl, schemas, broker, queue: schema, concurrency: CONCURRENCY });
  const database = await openPool(databaseUrl, schema, 2);
  try {
    run.report({ variant, settled: 0, delivered: 0, killed: 0, ms: 0 });
    await pods.start(PODS);
    const begun = performance.now();
    const delivered = await fanOut(database, schemas.imported, queue);
    const ms = await watch(run, { queue, pods, delivered, begun });
    await pods.stop();
    await recordSettled(database, queue);
    await database.query("analyze app_user, voucher_item, notification, assignment, message");
    return await score(database, ms);
  } finally {
    await pods.kill();
    // On PostgreSQL the jobs go with their schema.
    if (broker.kind === "redis") await queue.obliterate({ force: true });
    await queue.close();
    await database.end();
  }
}

interface Watched {
  readonly queue: DemoQueue;
  readonly pods: Pods;
  readonly delivered: number;
  readonly begun: number;
}

/** Looks on until every message is settled, kills one pod half-way, and returns how long it took. */
async function watch(run: VariantRun, { queue, pods, delivered, begun }: Watched): Promise<number> {
  let killed = 0;
  let settled = 0;
  let movedAt = performance.now();
  for (;;) {
    run.signal.throwIfAborted();
    pods.assertAlive();
    const { completed = 0, failed = 0 } = await queue.getJobCounts("completed", "failed");
    const now = performance.now();
    if (completed + failed > settled) movedAt = now;
    settled = completed + failed;
    run.report({ variant: run.variant, settled, delivered, killed, ms: now - begun });
    if (settled >= delivered || now - movedAt > STANDSTILL_MS) return now - begun;
    if (killed === 0 && settled >= delivered / 2) {
      await pods.killOne();
      killed = 1;
      await pods.start(1);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** Writes down what BullMQ says became of each message, so that SQL can count it whichever broker was used. */
async function recordSettled(database: pg.Pool, queue: DemoQueue): Promise<void> {
  for (const state of ["completed", "failed"] as const) {
    const ids = await queue.getRanges([state], 0, -1);
    await database.query("update message set settled_as = $1 where job_id = any($2::text[])", [state, ids]);
  }
}
