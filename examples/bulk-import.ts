/**
 * A bulk import, from the file to the last notification: each employee gets a voucher of their own, or a recorded reason, and each who
 * has one is notified once.
 *
 *     DATABASE_URL=postgres://… REDIS_URL=redis://… npx tsx bulk-import.ts employees.csv
 */
import { createReadStream } from "node:fs";
import type { Job } from "bullmq";
import { Queue, Worker } from "bullmq";
import { createExclaim } from "exclaim";
import { withClaim } from "exclaim/bullmq";
import { csvRows, fanOut } from "exclaim/fanout";
import { dispatchOutbox } from "exclaim/outbox";
import pg from "pg";

interface Employee {
  readonly id: string;
  readonly name: string;
  readonly email: string;
}

const [file = "employees.csv"] = process.argv.slice(2);
const connection = { url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379", maxRetriesPerRequest: null };
const prefix = process.env.QUEUE_PREFIX ?? "bull";
const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await database.query("create table if not exists voucher_item (id bigint primary key, code text, user_id text)");
await database.query("create index if not exists voucher_item_free on voucher_item (id) where user_id is null");
await database.query("insert into voucher_item select i, 'CODE-' || i from generate_series(1, 4) i on conflict do nothing");

const exclaim = createExclaim({ database });
await exclaim.migrate();
const vouchers = exclaim.pool<{ id: string; code: string }>({ table: "voucher_item", ownerColumn: "user_id" });

// The worker does not know of the import: what became of each row is noted by the message's id.
const worker = new Worker(
  "voucher",
  withClaim(
    async (job: Job<Employee>, claim) => {
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { email: job.data.email, code: claim.row.code });
        return { code: claim.row.code };
      });
    },
    {
      pool: vouchers,
      claimant: (job) => job.data.id,
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
    },
  ),
  { connection, prefix, concurrency: 20 },
);

// What claims published goes to a queue of its own, and from there to the mail server: once for each id.
const mails = new Queue("mails", { connection, prefix });
const mailed = new Set<string>();
const mailer = new Worker(
  "mails",
  async (job) => {
    mailed.add(job.data.code);
  },
  { connection, prefix },
);
const dispatcher = dispatchOutbox({ database, to: mails });

const queue = new Queue("voucher", { connection, prefix });
const { id, status, rows, rejected } = await fanOut(csvRows(createReadStream(file)), {
  database,
  to: queue,
  key: (row) => row.id ?? "",
  validate: (row) => (row.email?.includes("@") ? undefined : "no address to write to"),
  source: file,
});
console.log(`${status}: ${rows} rows, ${rejected} rejected`);

// An admin's page would ask this now and then.
let state = await exclaim.imports.get(id);
while (state?.state !== "finished") {
  await new Promise((resolve) => setTimeout(resolve, 100));
  state = await exclaim.imports.get(id);
}
for await (const row of exclaim.imports.report(id)) {
  console.log(`line ${row.line}: ${row.state}${row.reason === undefined ? "" : `, ${row.reason}`}`);
}
await dispatcher.drain();
while (mailed.size < state.claimed) await new Promise((resolve) => setTimeout(resolve, 20));
console.log(`${mailed.size} mails for ${state.claimed} vouchers`);

await dispatcher.close();
await exclaim.close({ drainMs: 5_000 });
await Promise.all([worker.close(), mailer.close(), queue.close(), mails.close()]);
await database.end();
