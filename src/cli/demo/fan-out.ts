import type pg from "pg";
import { ExclaimError } from "../../errors.ts";
import type { DemoQueue, JobToAdd } from "./broker.ts";

/** One message a row: larger chunks block the broker for longer and are no faster. */
const CHUNK = 200;
/** One row in twenty is published a second time under another id, as a producer does that did not hear of its success. */
const TWICE_EVERY = 20;

/**
 * Publishes one message for every row of the file that names a user, and records each in the table `message`.
 * Shape: `client` finds the variant's tables in its search path; job ids are `row-{line}` and `row-{line}-again`.
 * After: BullMQ has accepted every message under the id it was given.
 * Returns how many were published.
 * Throws what BullMQ throws; REFUSED: it answered with other ids.
 */
export async function fanOut(
  client: Pick<pg.Pool, "query">,
  imported: string,
  queue: Pick<DemoQueue, "addBulk">,
): Promise<number> {
  let published = 0;
  for (let line = 0; ; ) {
    const { rows } = await client.query<{ line: number; user_id: number }>(
      `select line, user_id from ${imported}.import_row where line > $1 order by line limit $2`,
      [line, CHUNK],
    );
    const last = rows.at(-1);
    if (last === undefined) return published;
    line = last.line;
    const jobs = rows.flatMap(jobsOf);
    await client.query("insert into message (job_id, user_id) select * from unnest($1::text[], $2::integer[])", [
      jobs.map((job) => job.opts.jobId),
      jobs.map((job) => job.data.user_id),
    ]);
    await publish(queue, jobs);
    published += jobs.length;
  }
}

function jobsOf(row: { line: number; user_id: number }): JobToAdd[] {
  const ids = row.line % TWICE_EVERY === 0 ? [`row-${row.line}`, `row-${row.line}-again`] : [`row-${row.line}`];
  return ids.map((jobId) => ({ name: "voucher", data: { user_id: row.user_id }, opts: { jobId } }));
}

/** BullMQ may refuse a job of a bulk without throwing: what tells is the id it answers with. */
async function publish(queue: Pick<DemoQueue, "addBulk">, jobs: JobToAdd[]): Promise<void> {
  const added = await queue.addBulk(jobs);
  const missing = jobs.filter((job, index) => added[index]?.id !== job.opts.jobId);
  if (missing.length === 0) return;
  throw new ExclaimError("REFUSED", `BullMQ did not accept ${missing.length} messages, first ${missing[0]?.opts.jobId}`);
}
