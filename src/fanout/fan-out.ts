/**
 * Bulk import: each row of a file or another source becomes one message, once in effect, and is accounted for.
 *
 * The path of a chunk: read and checked (`chunk-reader.ts`, `read-row.ts`), recorded with the ledger, then published, then behind. While
 * a chunk is on its way to the broker the next one is read and recorded: a process that dies publishes at most two chunks again, under
 * the same ids.
 */
import { ChunkReader } from "./chunk-reader.ts";
import { Course } from "./course.ts";
import { type CsvOptions, csvRows } from "./csv-rows.ts";
import type { CsvRow } from "./csv-table.ts";
import type { FanOutOptions, FanOutProgress, FanOutResult, RowCheck, RowSource } from "./fan-out-options.ts";
import { ndjsonRows } from "./ndjson-rows.ts";
import type { FileInput, FileRows } from "./numbered-rows.ts";
import { type Plan, resolvePlan } from "./plan.ts";
import { RejectedRow } from "./rejected-row.ts";
import { Room } from "./room.ts";
import { isAway, untilReached } from "./until-reached.ts";

export type { CsvOptions, CsvRow, FanOutOptions, FanOutProgress, FanOutResult, FileInput, FileRows, RowCheck, RowSource };
export { csvRows, ndjsonRows, RejectedRow };

/**
 * Publishes a message for each row of a source, and remembers the import: what became of each row is `exclaim.imports`' to tell.
 * Shape: the message's id is `imp-{import}-{row key}`; two rows of one key are one message, of the first of them.
 * After: every row read is recorded, and with the broker or rejected with its reason; the source is closed. Calling again with the same
 * id and source goes on where the import was, and adds nothing where it is done.
 * Died in between: at most two chunks are published again by the next call, under the same ids.
 * A server that is away is waited for, a minute a call; then the import has failed, and the same call goes on.
 * Throws CONFIG_INVALID, SCHEMA_OUTDATED; IMPORT_MISMATCH: that import has another source; TOO_MANY_REJECTED; BROKER_UNREACHABLE,
 * DATABASE_UNREACHABLE; and what the source throws, as it is.
 */
export async function fanOut<R, V = R>(source: RowSource<R>, options: FanOutOptions<R, V>): Promise<FanOutResult> {
  return runImport(source, resolvePlan(options));
}

/** `fanOut` with what its options stand for. */
export async function runImport<R, V>(source: RowSource<R>, plan: Plan<R, V>): Promise<FanOutResult> {
  const { id, target, fingerprint, settings, signal } = plan;
  const reader = new ChunkReader(source, plan);
  try {
    // A queue that is not there is found before anything is recorded, and not as a rejection of every row.
    await untilReached(async () => target.backlog?.(), plan);
    const run = await plan.runs.begin({ id, source: plan.source, target: target.name, fingerprint, settings });
    const course = new Course(plan, run);
    try {
      reader.startAt(run);
      return await publishAll(reader, course, plan);
    } catch (error) {
      if (signal?.aborted && isAway(error)) return await course.stop();
      await course.fail(error);
      throw error;
    }
  } finally {
    await reader.close();
  }
}

async function publishAll<R, V>(reader: ChunkReader<R, V>, course: Course<R, V>, plan: Plan<R, V>): Promise<FanOutResult> {
  const room = new Room(plan, course);
  course.checkRejected();
  while (!plan.signal?.aborted) {
    const chunk = await reader.next();
    if (chunk === undefined) {
      await course.settled();
      course.checkRejected();
      return await course.end("published");
    }
    const ended = await room.wait();
    if (ended !== undefined) return course.result(ended);
    if (plan.signal?.aborted) break;
    const rows = await course.record(chunk);
    await course.settled();
    if (typeof rows === "string") return course.result(rows);
    course.publish(chunk, rows);
    course.checkRejected();
  }
  return await course.end("stopped");
}
