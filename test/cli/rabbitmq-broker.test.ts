import { randomBytes } from "node:crypto";
import { type ChannelModel, connect } from "amqplib";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { Broker, ClaimingHandler, Consuming, DemoQueue, Handler, VoucherMessage } from "../../src/cli/demo/broker.ts";
import { rabbitmqBroker } from "../../src/cli/demo/brokers/rabbitmq.ts";
import { claiming } from "../../src/cli/demo/handlers/with-claim.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";

let database: FreshDatabase;
let connection: ChannelModel;
let broker: Broker;
beforeAll(async () => {
  database = await freshDatabase();
  connection = await connect(rabbitmqUrl());
  broker = rabbitmqBroker(rabbitmqUrl());
  await database.pool.query(`
    create table message (message_id text primary key, user_id integer not null, settled_as text);
    create table voucher_item (id integer primary key, code text not null, user_id integer);
    create table notification (user_id integer not null, code text not null);
  `);
});
afterAll(async () => {
  await connection?.close();
  await database?.drop();
});
beforeEach(async () => {
  await database.pool.query("truncate message, voucher_item, notification");
});

describe("RabbitMQ as the demo's broker", () => {
  it("says which server it is", async () => {
    expect(await broker.prepare()).toMatch(/^RabbitMQ \d+\.\d+\.\d+\S* \(AMQP_URL\)$/);
  });

  it.each([
    ["is not there", () => "amqp://me:hunter2@127.0.0.1:1"],
    ["does not know the user", () => withPassword("hunter2")],
    ["is spoken to in another protocol", () => "http://me:hunter2@127.0.0.1"],
  ])("refuses a server that %s, and keeps its password to itself", async (_, url) => {
    const refusal = await rabbitmqBroker(url())
      .prepare()
      .catch((error: Error) => error);

    expect(refusal).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("AMQP_URL") });
    expect(String(refusal)).not.toContain("hunter2");
  });

  it("keeps messages on disk, under their ids", async () => {
    const { name, queue } = await opened();

    await queue.publish(messages(1));

    const [message] = await taken(name);
    expect(message?.properties).toMatchObject({ messageId: "row-1", deliveryMode: 2 });
    expect(message?.content.toString()).toBe('{"user_id":1}');
  });

  it("says so when a message has no queue to go to", async () => {
    const { name, queue } = await opened();
    await withChannel((channel) => channel.deleteQueue(name));

    await expect(queue.publish(messages(2))).rejects.toMatchObject({
      code: "REFUSED",
      message: "RabbitMQ has no queue for 2 messages, first row-1",
    });
  });

  // Planted: remove() without the delay queues.
  it("removes every queue it made, with what is in it, and no other", async () => {
    const { name, queue } = await opened();
    const other = await opened();
    await queue.publish(messages(3));

    await queue.remove();

    const made = (work: string) => [work, `${work}.dead`, `${work}.retry.100`, `${work}.retry.250`];
    expect(await existing(made(name))).toEqual([]);
    expect(await existing(made(other.name))).toEqual(made(other.name));
  });
});

describe("a consumer written by hand", () => {
  it("serves each message, notes it, and takes it off the queue", async () => {
    const served: VoucherMessage[] = [];
    const { name, queue } = await opened();
    await queue.publish(messages(2));

    const consumer = await consuming(name, async (message) => {
      served.push(message);
    });
    await eventually(async () => (await queue.countSettled()) === 2);
    await consumer.close();

    expect(served).toEqual(messages(2));
    expect(await settledAs()).toEqual({ "row-1": "completed", "row-2": "completed" });
    expect(await taken(name)).toEqual([]);
  });

  // Planted: the copy without its count of attempts, so that a message fails for ever.
  it("tries a message three times, then keeps it as a dead letter", async () => {
    const calls: Record<string, number> = {};
    const { name, queue } = await opened();
    await queue.publish(messages(2));

    const consumer = await consuming(name, async ({ id }) => {
      calls[id] = (calls[id] ?? 0) + 1;
      if (id === "row-2" || calls[id] < 3) throw new Error("no");
    });
    await eventually(async () => (await queue.countSettled()) === 2);
    await consumer.close();

    expect(calls).toEqual({ "row-1": 3, "row-2": 3 });
    expect(await settledAs()).toEqual({ "row-1": "completed", "row-2": "failed" });
    expect((await taken(`${name}.dead`)).map(({ properties }) => properties.messageId)).toEqual(["row-2"]);
    expect([...(await taken(name)), ...(await taken(`${name}.retry.100`))]).toEqual([]);
  });

  // Planted: the channel consumes with noAck.
  it("loses nothing when it dies at work, and says that its connection is gone", async () => {
    const { name, queue } = await opened();
    await queue.publish(messages(1));
    const proxy = await startCutProxy(rabbitmqUrl());
    onTestFinished(() => proxy.close());
    let begun = false;
    const consumer = await rabbitmqBroker(proxy.url).consume(consumingOf(name), () => {
      begun = true;
      return new Promise(() => {});
    });
    await eventually(() => begun);

    proxy.cut();

    await expect(consumer.ended).rejects.toMatchObject({ code: "ABORTED" });
    const [message] = await eventually(async () => {
      const all = await taken(name);
      return all.length > 0 && all;
    });
    expect(message?.properties.messageId).toBe("row-1");
    expect(await settledAs()).toEqual({ "row-1": null });
  });

  it("says so when its queue is deleted under it", async () => {
    const { name } = await opened();
    const consumer = await consuming(name, async () => {});

    await withChannel((channel) => channel.deleteQueue(name));

    await expect(consumer.ended).rejects.toMatchObject({ code: "ABORTED" });
  });

  // Planted: close() without waiting for what is open.
  it("finishes what it is at when it is closed", async () => {
    const { name, queue } = await opened();
    await queue.publish(messages(1));
    let begun = false;
    const work = deferred();
    const consumer = await consuming(name, () => {
      begun = true;
      return work.promise;
    });
    await eventually(() => begun);

    const closing = consumer.close();
    work.resolve();
    await closing;

    expect(await settledAs()).toEqual({ "row-1": "completed" });
    expect(await taken(name)).toEqual([]);
  });
});

describe("a consumer with withClaim()", () => {
  // Planted: a note for completed claims alone, so that a doubled message is never settled.
  it("notes a message that was answered with an earlier claim as it notes the first", async () => {
    await database.pool.query("insert into voucher_item select i, 'V-' || i from generate_series(1, 3) i");
    const { name, queue } = await opened();
    await queue.publish([...messages(2), { id: "row-2-again", data: { user_id: 2 } }]);

    const consumer = await claimingConsumer(name, await claimed());
    await eventually(async () => (await queue.countSettled()) === 3);
    await consumer.close();

    expect(await settledAs()).toEqual({ "row-1": "completed", "row-2": "completed", "row-2-again": "completed" });
    const { rows } = await database.pool.query("select user_id from voucher_item where user_id is not null order by user_id");
    expect(rows).toEqual([{ user_id: 1 }, { user_id: 2 }]);
    expect(await taken(name)).toEqual([]);
  });

  it("notes a message that was given up as failed, after three attempts", async () => {
    await database.pool.query("insert into voucher_item values (1, 'V-1')");
    const { name, queue } = await opened();
    await queue.publish(messages(1));
    let calls = 0;
    const claims = await claimed();

    const consumer = await claimingConsumer(name, {
      options: claims.options,
      handler: async () => {
        calls += 1;
        throw new Error("no");
      },
    });
    await eventually(async () => (await queue.countSettled()) === 1);
    await consumer.close();

    expect(calls).toBe(3);
    expect(await settledAs()).toEqual({ "row-1": "failed" });
    expect(await taken(`${name}.dead`)).toHaveLength(1);
  });
});

async function opened(): Promise<{ name: string; queue: DemoQueue }> {
  const name = `exclaim_test_${randomBytes(6).toString("hex")}`;
  const queue = await broker.openQueue(name, database.pool);
  onTestFinished(() => queue.remove());
  const recording: DemoQueue = {
    ...queue,
    async publish(published) {
      const ids = published.map(({ id }) => id);
      await database.pool.query("insert into message select unnest($1::text[]), 1", [ids]);
      await queue.publish(published);
    },
  };
  return { name, queue: recording };
}

function deferred() {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function consuming(queue: string, handler: Handler) {
  return broker.consume(consumingOf(queue), handler);
}

function claimingConsumer(queue: string, handler: ClaimingHandler) {
  return broker.consumeWithClaim(consumingOf(queue), handler);
}

function consumingOf(queue: string): Consuming {
  return { queue, concurrency: 4, database: database.pool, onError: () => {} };
}

async function claimed() {
  const ledger = `ledger_${randomBytes(4).toString("hex")}`;
  const claims = await claiming({ database: database.pool, schema: "public", ledger, lock: undefined });
  onTestFinished(() => claims.close());
  return claims;
}

function messages(count: number): VoucherMessage[] {
  return Array.from({ length: count }, (_, index) => ({ id: `row-${index + 1}`, data: { user_id: index + 1 } }));
}

async function settledAs(): Promise<Record<string, string | null>> {
  const { rows } = await database.pool.query("select message_id, settled_as from message order by message_id");
  return Object.fromEntries(rows.map((row) => [row.message_id, row.settled_as]));
}

/** What waits in a queue, taken off it. */
function taken(queue: string) {
  return withChannel(async (channel) => {
    const all = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) return all;
      all.push(message);
    }
  });
}

/** The queues among these that are there. */
async function existing(names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    await withChannel((channel) => channel.checkQueue(name)).then(
      () => found.push(name),
      () => {},
    );
  }
  return found;
}

async function withChannel<T>(use: (channel: Awaited<ReturnType<ChannelModel["createChannel"]>>) => Promise<T>): Promise<T> {
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  try {
    return await use(channel);
  } finally {
    await channel.close().catch(() => {});
  }
}

function withPassword(password: string): string {
  const url = new URL(rabbitmqUrl());
  url.username = "me";
  url.password = password;
  return url.href;
}
