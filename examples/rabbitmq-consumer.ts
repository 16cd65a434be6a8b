/**
 * A RabbitMQ consumer: each sign-up gets a voucher of its own.
 *
 *     DATABASE_URL=postgres://… AMQP_URL=amqp://… npx tsx rabbitmq-consumer.ts
 */
import { randomUUID } from "node:crypto";
import amqp from "amqplib";
import { createExclaim } from "exclaim";
import { type AmqpDelivery, consume } from "exclaim/amqplib";
import pg from "pg";

interface SignUp {
  readonly user_id: number;
}

interface Voucher {
  readonly id: string;
  readonly code: string;
}

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await database.query("create table if not exists voucher_item (id bigint primary key, code text, user_id bigint)");
await database.query("create index if not exists voucher_item_free on voucher_item (id) where user_id is null");
await database.query("insert into voucher_item select i, 'CODE-' || i from generate_series(1, 20) i on conflict do nothing");

const exclaim = createExclaim({ database });
await exclaim.migrate();
const vouchers = exclaim.pool<Voucher>({ table: "voucher_item", ownerColumn: "user_id" });

// With recovery the connection comes back by itself, and the consumer with it; with noDelay small answers do not wait for each other.
const connection = await amqp.connect(process.env.AMQP_URL ?? "amqp://127.0.0.1", { recovery: true, noDelay: true });

// Queue, delay queues and dead-letter queue are declared, now and after each reconnection.
const queue = process.env.QUEUE ?? "voucher";
const consumer = await consume(
  connection,
  queue,
  async (message: AmqpDelivery<SignUp>, claim) => {
    await claim.complete(async (tx) => {
      await tx.publish("voucher.assigned", { userId: message.data.user_id, code: claim.row.code });
      return { code: claim.row.code };
    });
    console.log(`user ${message.data.user_id} has ${claim.row.code}`);
  },
  {
    pool: vouchers,
    claimant: (message) => String(message.data.user_id),
    onEmpty: { do: "dead-letter", reason: "no vouchers left" },
    onGiveUp: "release",
    concurrency: 5,
  },
);

// User 1 signs up twice, as at-least-once delivery will have it: the second message is answered with the same voucher.
const users = [1, 2, 3, 1];
let toServe = users.length;
const allServed = new Promise<void>((resolve) => {
  exclaim.on("claim:ended", ({ status }) => {
    if (status === "completed" || status === "replayed") toServe -= 1;
    if (toServe === 0) resolve();
  });
});
const producer = await connection.createConfirmChannel();
for (const user_id of users) {
  const options = { persistent: true, mandatory: true, messageId: randomUUID(), contentType: "application/json" };
  producer.sendToQueue(queue, Buffer.from(JSON.stringify({ user_id })), options);
}
await producer.waitForConfirms();
await allServed;

const closing = consumer.close();
await exclaim.close({ drainMs: 5_000 });
await closing;
await connection.close();
await database.end();
