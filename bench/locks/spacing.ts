/**
 * At least T between two starts for one key, wanted by many workers at once: by how much does the gap between two starts miss T?
 *
 * exclaim: `resource.claim({ key, minIntervalMs: T, waitMs })` over PostgreSQL, two workers an instance, each instance with its own
 * pool. redlock 4, the way it is done without: take a lock for T and do not release it; once at its own pace of 200 ms +- 100 between
 * tries, once asking every few ms. Work takes less than T, then more: then the next start must wait for its end.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createExclaim } from "exclaim";
import pg from "pg";
import type { Stage } from "../stage.ts";
import { type Spread, spreadOf } from "../statistics.ts";
import { CONNECTIONS } from "./connections.ts";
import { openRedlock4, type Redlock4Options } from "./contenders/redlock-4.ts";
import type { SpacingSizes } from "./options.ts";

const WORKERS_PER_INSTANCE = 2;
const WORK_FRACTIONS = [0.2, 1.5];

export interface SpacingRow {
  readonly contender: string;
  readonly workMs: number;
  readonly starts: number;
  /** The gap between two starts less T. */
  readonly errorMs: Spread;
  /** Starts while somebody else was still at work. */
  readonly overlaps: number;
}

export interface SpacingReport {
  readonly intervalMs: number;
  readonly workers: number;
  readonly rows: readonly SpacingRow[];
}

/** Runs `work` at a start of its own choosing, and resolves after it. */
type Worker = (key: string, work: () => Promise<void>) => Promise<void>;

interface Way {
  readonly name: string;
  readonly workers: readonly Worker[];
}

export async function measureSpacing(stage: Stage, sizes: SpacingSizes): Promise<SpacingReport> {
  const ways = [
    await openExclaim(stage, sizes),
    await openKeptLock(stage, "redlock 4, not released", sizes, {}),
    await openKeptLock(stage, "the same, asking every 5 ms", sizes, { retryDelay: 5, retryJitter: 2 }),
  ];
  const rows = await Promise.all(
    WORK_FRACTIONS.flatMap((fraction) => ways.map((way) => watchStarts(way, sizes, Math.round(fraction * sizes.intervalMs)))),
  );
  return { intervalMs: sizes.intervalMs, workers: sizes.workers, rows };
}

async function watchStarts({ name, workers }: Way, sizes: SpacingSizes, workMs: number): Promise<SpacingRow> {
  const startsMs: number[] = [];
  let working = 0;
  let overlaps = 0;
  const work = async (): Promise<void> => {
    startsMs.push(performance.now());
    if (working > 0) overlaps += 1;
    working += 1;
    await delay(workMs);
    working -= 1;
  };
  await Promise.all(
    workers.map(async (worker) => {
      while (startsMs.length < sizes.starts) await worker(`spacing:${workMs}`, work);
    }),
  );
  const gaps = startsMs.slice(1).map((startMs, index) => startMs - (startsMs[index] ?? 0));
  return {
    contender: name,
    workMs,
    starts: startsMs.length,
    errorMs: spreadOf(gaps.map((gap) => gap - sizes.intervalMs)),
    overlaps,
  };
}

async function openExclaim(stage: Stage, { intervalMs, workers }: SpacingSizes): Promise<Way> {
  const { url, schema } = await stage.openSchema();
  const instances = Array.from({ length: workers / WORKERS_PER_INSTANCE }, () => {
    const database = new pg.Pool({ connectionString: url });
    const exclaim = createExclaim({ database, schema, ttlMs: 10 * intervalMs });
    stage.atEnd(async () => {
      await exclaim.close({ drainMs: 0 });
      await database.end();
    });
    return exclaim;
  });
  await instances[0]?.migrate();
  const waitMs = 100 * intervalMs * workers;
  return {
    name: "exclaim, minIntervalMs",
    workers: instances.flatMap((exclaim) =>
      Array.from(
        { length: WORKERS_PER_INSTANCE },
        (): Worker => async (key, work) => {
          const outcome = await exclaim.resource("bench").claim({ key, minIntervalMs: intervalMs, waitMs }, work);
          if (outcome.status !== "completed") throw new Error(`a claim ended ${outcome.status}`, { cause: outcome });
        },
      ),
    ),
  };
}

async function openKeptLock(stage: Stage, name: string, sizes: SpacingSizes, pace: Redlock4Options): Promise<Way> {
  const { intervalMs, workers } = sizes;
  const [server] = await stage.startRedis(1);
  const clients = await stage.connect([server?.url ?? ""], CONNECTIONS.limited(10_000));
  const redlock = openRedlock4(clients, { ...pace, retryCount: 1_000_000 });
  const worker: Worker = async (key, work) => {
    await redlock.lock(key, intervalMs);
    await work();
  };
  return { name, workers: Array.from({ length: workers }, () => worker) };
}
