import { Logger, makeWorkerUtils, runTaskList, type WorkerPool, type WorkerUtils } from "graphile-worker";
import pg from "pg";
import type { Picker, PickPlace } from "./picker.ts";

/**
 * What the performance page of graphile-worker's documentation measures with: jobs are fetched 500 at a time into the process, and
 * completed (deleted) in batches of those that end while the last batch is under way.
 * Its concurrency there is 24 as well.
 *
 * Equal to a claim: a job is one user's, exactly one process gets it, and its end is durable once `drain` returns. Not equal: the
 * batches leave nothing durable between pick and completion that is of one job alone, the handler has no row of a user's table, a
 * finished job is deleted and a second one for the same user would run again, and up to 500 jobs are locked before they begin.
 */
const LOCAL_QUEUE_SIZE = 500;
const BATCH_DELAY_MS = 0;
const CONCURRENCY = 24;
const DATABASE_CONNECTIONS = 20;
const ADDED_AT_ONCE = 1_000;
const TASK = "pick";

const logger = new Logger(() => () => {});

export async function openGraphileWorker({ databaseUrl, schema }: PickPlace): Promise<Picker> {
  const database = new pg.Pool({ connectionString: databaseUrl, max: DATABASE_CONNECTIONS });
  database.on("error", () => {});
  database.on("connect", (client) => client.on("error", () => {}));
  const utils = await makeWorkerUtils({ pgPool: database, schema, logger });
  await utils.migrate();
  return {
    async add(first, count) {
      await addJobs(utils, first, count);
      await database.query(`vacuum analyze ${schema}._private_jobs`);
    },
    async drain(count, onJob) {
      let left = count;
      await new Promise<void>((resolve, reject) => {
        const task = async (payload: unknown): Promise<void> => {
          onJob((payload as { readonly user: number }).user);
          left -= 1;
          if (left === 0) shutDown(workers).then(resolve, reject);
        };
        const workers = startWorkers(database, schema, task);
        workers.promise.catch(reject);
      });
    },
    async left() {
      const { rows } = await database.query(`select count(*)::int as count from ${schema}._private_jobs`);
      return rows[0]?.count ?? Number.NaN;
    },
    async close() {
      await utils.release();
      await database.end();
    },
  };
}

function startWorkers(database: pg.Pool, schema: string, task: (payload: unknown) => Promise<void>): WorkerPool {
  const worker = {
    concurrentJobs: CONCURRENCY,
    localQueue: { size: LOCAL_QUEUE_SIZE },
    completeJobBatchDelay: BATCH_DELAY_MS,
    failJobBatchDelay: BATCH_DELAY_MS,
  };
  return runTaskList({ schema, logger, noHandleSignals: true, preset: { worker } }, { [TASK]: task }, database);
}

/** After: the completions that were put off are in the database. */
async function shutDown(workers: WorkerPool): Promise<void> {
  await workers.gracefulShutdown();
  await workers.promise;
}

async function addJobs(utils: WorkerUtils, first: number, count: number): Promise<void> {
  for (let user = first; user < first + count; user += ADDED_AT_ONCE) {
    const size = Math.min(ADDED_AT_ONCE, first + count - user);
    await utils.addJobs(Array.from({ length: size }, (_, index) => ({ identifier: TASK, payload: { user: user + index } })));
  }
}
