import { createReadStream } from "node:fs";
import { Queue } from "bullmq";
import { parse } from "csv-parse";
import { csvRows, fanOut } from "exclaim/fanout";
import { Redis } from "ioredis";
import pg from "pg";
import { serve } from "../child.ts";
import { type SliceReport, Slices } from "./slices.ts";

export const CHUNK_SIZE = 200;

export interface ImportTask {
  readonly by: "hand" | "exclaim";
  readonly file: string;
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly schema: string;
  readonly queue: string;
  readonly id: string;
}

export type ImporterCalls = {
  readonly begin: { readonly ask: ImportTask; readonly answer: undefined };
  /** Imports up to so many rows in all. */
  readonly slice: { readonly ask: number; readonly answer: SliceReport };
  /** Imports what is left. Answers how many messages were published. */
  readonly finish: { readonly ask: undefined; readonly answer: number };
};

interface Row {
  readonly employee_id: string;
}

let slices = new Slices();
let ended: Promise<number> = Promise.resolve(0);

serve<ImporterCalls>({
  begin: async (task) => {
    slices = new Slices();
    const queue = new Queue(task.queue, { connection: new Redis(task.redisUrl, { maxRetriesPerRequest: null }) });
    await queue.waitUntilReady();
    ended = task.by === "hand" ? importByHand(queue, task) : importByExclaim(queue, task);
    return undefined;
  },
  slice: (until) => slices.run(until),
  finish: () => {
    slices.run(Number.POSITIVE_INFINITY).catch(() => {});
    return ended;
  },
});

async function importByHand(queue: Queue, { file }: ImportTask): Promise<number> {
  const rows = createReadStream(file).pipe(parse({ columns: true, bom: true, skip_empty_lines: true }));
  let published = 0;
  let chunk: Row[] = [];
  const publish = async (): Promise<void> => {
    await queue.addBulk(chunk.map((row) => ({ name: "import", data: row, opts: { jobId: `imp-bench-${row.employee_id}` } })));
    published += chunk.length;
    chunk = [];
    slices.reached(published);
  };
  for await (const row of slices.gate(rows as AsyncIterable<Row>)) {
    chunk.push(row);
    if (chunk.length === CHUNK_SIZE) await publish();
  }
  await publish();
  return published;
}

async function importByExclaim(queue: Queue, { file, databaseUrl, schema, id }: ImportTask): Promise<number> {
  const database = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  const { published } = await fanOut(slices.gate(csvRows(createReadStream(file))), {
    database,
    schema,
    id,
    to: queue,
    key: (row) => row.employee_id ?? "",
    onProgress: ({ rows }) => slices.reached(rows),
  });
  await database.end();
  return published;
}
