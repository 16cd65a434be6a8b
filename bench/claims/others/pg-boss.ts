import PgBoss from "pg-boss";
import type { Picker, PickPlace } from "./picker.ts";

/**
 * `fetch` and `complete` with many jobs at a time, without the order by priority, all of which its documentation names as the faster
 * way; several of these loops side by side, and none of the waiting that `work` puts between two fetches.
 * Four loops of 1,000 jobs had the highest median of six settings that were tried on two busy cores; others came close.
 *
 * Equal to a claim: a job is one user's, exactly one process gets it, and its end is durable once `drain` returns. Not equal: the
 * handler has no row of a user's table, the jobs of a batch end together, and a second job for the same user would run again.
 */
const BATCH_SIZE = 1_000;
const LOOPS = 4;
const DATABASE_CONNECTIONS = 20;
const ADDED_AT_ONCE = 1_000;
const QUEUE = "pick";

export async function openPgBoss({ databaseUrl, schema }: PickPlace): Promise<Picker> {
  // Maintenance would only take time that is measured: nothing expires here, and nothing is archived.
  const boss = new PgBoss({
    connectionString: databaseUrl,
    schema,
    max: DATABASE_CONNECTIONS,
    supervise: false,
    schedule: false,
  });
  let failure: Error | undefined;
  boss.on("error", (error) => {
    failure ??= error;
  });
  await boss.start();
  await boss.createQueue(QUEUE);
  const database = boss.getDb();
  return {
    async add(first, count) {
      for (let user = first; user < first + count; user += ADDED_AT_ONCE) {
        const size = Math.min(ADDED_AT_ONCE, first + count - user);
        await boss.insert(Array.from({ length: size }, (_, index) => ({ name: QUEUE, data: { user: user + index } })));
      }
      await database.executeSql(`vacuum analyze ${schema}.job`, []);
    },
    async drain(count, onJob) {
      let left = count;
      const loop = async (): Promise<void> => {
        while (left > 0) {
          const jobs = await boss.fetch<{ readonly user: number }>(QUEUE, { batchSize: BATCH_SIZE, priority: false });
          if (failure !== undefined) throw failure;
          if (jobs.length === 0) continue;
          for (const { data } of jobs) onJob(data.user);
          left -= jobs.length;
          await boss.complete(
            QUEUE,
            jobs.map(({ id }) => id),
          );
        }
      };
      await Promise.all(Array.from({ length: LOOPS }, loop));
    },
    async left() {
      const { rows } = await database.executeSql(
        `select count(*)::int as count from ${schema}.job where state <> 'completed' or retry_count > 0`,
        [],
      );
      return (rows[0] as { readonly count: number } | undefined)?.count ?? Number.NaN;
    },
    async close() {
      await boss.stop({ graceful: false });
    },
  };
}
