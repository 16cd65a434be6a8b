import { randomUUID } from "node:crypto";
import amqp from "amqplib";
import { Queue } from "bullmq";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { eventually } from "../support/eventually.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { redisUrl } from "../support/redis.ts";
import { type OutboxDatabase, outboxDatabase } from "./outbox-fixture.ts";

let database: OutboxDatabase;

beforeAll(async () => {
  database = await outboxDatabase();
  await database.sql.query("create table voucher (id int primary key, user_id bigint)");
  await database.sql.query("insert into voucher select generate_series(1, 10)");
});

afterAll(() => database.drop());

beforeEach(() => database.empty());

describe("what a claim publishes when it completes", () => {
  it("O1 becomes a BullMQ job whose id is the outbox row's", async () => {
    const queue = bullmqQueue();
    const id = await completeAndPublish("7");

    await database.dispatch({ to: queue, jobOptions: { attempts: 3 } }).drain();

    const jobs = await queue.getJobs(["waiting"]);
    expect(jobs.map((job) => ({ id: job.id, name: job.name, data: job.data, attempts: job.opts.attempts }))).toEqual([
      { id, name: "voucher.assigned", data: { userId: "7" }, attempts: 3 },
    ]);
  });

  it("O2 becomes no second BullMQ job when it is sent again", async () => {
    const queue = bullmqQueue();
    const id = await completeAndPublish("8");
    const dispatcher = database.dispatch({ to: queue });
    await dispatcher.drain();
    await database.sql.query("update exclaim.outbox set published_at = null where id = $1", [id]);

    await dispatcher.drain();

    expect(await queue.getJobCountByTypes("waiting")).toBe(1);
    expect(await database.rows()).toMatchObject([{ id, state: "sent" }]);
  });

  it("O1 becomes a persistent RabbitMQ message whose messageId is the outbox row's", async () => {
    const { channel, queue } = await rabbitmqQueue();
    const id = await completeAndPublish("9");

    await database.dispatch({ to: channel, queue }).drain();

    const message = await eventually(async () => (await channel.get(queue, { noAck: true })) || null, { what: "the message" });
    expect(message.properties).toMatchObject({ messageId: id, type: "voucher.assigned", deliveryMode: 2 });
    expect(JSON.parse(message.content.toString())).toEqual({ userId: "9" });
  });

  it("O4 is parked when RabbitMQ has no queue for its topic", async () => {
    const { channel } = await rabbitmqQueue();
    const id = await completeAndPublish("10");

    const dispatcher = database.dispatch({ to: channel, exchange: "amq.direct", maxAttempts: 1 });
    await dispatcher.drain();

    expect(await database.rows()).toMatchObject([{ id, state: "parked", attempts: 1 }]);
    expect(dispatcher.errors).toMatchObject([{ code: "MESSAGE_REFUSED" }]);
  });
});

async function completeAndPublish(claimant: string): Promise<string | undefined> {
  const exclaim = createExclaim({ database: database.sql });
  onTestFinished(() => exclaim.close());
  let id: string | undefined;
  const outcome = await exclaim.pool({ table: "voucher", ownerColumn: "user_id" }).claim({ claimant }, (claim) =>
    claim.complete(async (tx) => {
      id = await tx.publish("voucher.assigned", { userId: claimant });
    }),
  );
  expect(outcome.status).toBe("completed");
  return id;
}

function bullmqQueue(): Queue {
  const { hostname, port } = new URL(redisUrl());
  const queue = new Queue(`outbox-${randomUUID()}`, { connection: { host: hostname, port: Number(port) } });
  queue.on("error", () => {});
  onTestFinished(async () => {
    await queue.obliterate({ force: true });
    await queue.close();
  });
  return queue;
}

async function rabbitmqQueue() {
  const connection = await amqp.connect(rabbitmqUrl());
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  onTestFinished(() => connection.close());
  return { channel, queue };
}
