import { createReadStream } from "node:fs";
import { Queue } from "bullmq";
import { csvRows, fanOut } from "exclaim/fanout";
import { Redis } from "ioredis";
import pg from "pg";
import type { KilledTask } from "./kills.ts";

/** A program that imports a file under an id that is always the same, and tells how far it is. */
const task = JSON.parse(process.argv[2] ?? "") as KilledTask;
const database = new pg.Pool({ connectionString: task.databaseUrl });
const connection = new Redis(task.redisUrl, { maxRetriesPerRequest: null });
const queue = new Queue("killed", { connection });

await fanOut(csvRows(createReadStream(task.file)), {
  database,
  schema: task.schema,
  id: "killed",
  to: queue,
  key: (row) => row.employee_id ?? "",
  onProgress: ({ rows }) => process.send?.({ rows }),
});

await queue.close();
connection.disconnect();
await database.end();
process.disconnect();
