import { Queue } from "bullmq";
import { Redis } from "ioredis";
import pg from "pg";
import { csvRows, fanOut } from "../../src/fanout/fan-out.ts";
import { inPieces } from "./rows-read.ts";

export interface ImportTask {
  readonly id: string;
  readonly csv: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly queue: string;
}

/** A program that imports rows and says how far it is, until it is done or killed. */
const task = JSON.parse(process.argv[2] ?? "") as ImportTask;
const database = new pg.Pool({ connectionString: task.databaseUrl });
const connection = new Redis(task.redisUrl, { maxRetriesPerRequest: null });
const queue = new Queue(task.queue, { connection });

await fanOut(csvRows(inPieces(task.csv, 4_096)), {
  id: task.id,
  database,
  to: queue,
  key: (row) => row.id ?? "",
  chunkSize: 20,
  onProgress: ({ rows }) => process.stdout.write(`${rows}\n`),
});

await queue.close();
connection.disconnect();
await database.end();
