import amqp, { type Channel } from "amqplib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import {
  type AmqpClaimOptions,
  type AmqpConnection,
  type AmqpDelivery,
  type Consumer,
  type ConsumerOptions,
  consume,
} from "../../src/queue/amqplib.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { DELAYS_MS, openRabbit, type Rabbit } from "./rabbit.ts";
import { ScriptedPool, untilAborted, type Voucher } from "./scripted-pool.ts";

interface SignUp {
  readonly user_id: number;
}

type Message = AmqpDelivery<SignUp>;
type Options = Partial<AmqpClaimOptions<SignUp, Voucher> & ConsumerOptions>;

describe("consume()", () => {
  let rabbit: Rabbit;
  let consumers: Consumer[];

  beforeEach(async () => {
    rabbit = await openRabbit();
    consumers = [];
  });

  afterEach(async () => {
    await Promise.all(consumers.map((consumer) => consumer.close({ drainMs: 1_000 })));
    await rabbit.close();
  });

  const start = async (
    handler: (message: Message, claim: { readonly signal: AbortSignal }) => Promise<unknown>,
    options: Options = {},
    connection: AmqpConnection = rabbit.connection,
  ): Promise<Consumer> => {
    const consumer = await consume(connection, rabbit.queue, handler, {
      pool: new ScriptedPool("run"),
      claimant: (message) => String(message.data.user_id),
      delaysMs: DELAYS_MS,
      onError: rabbit.onError,
      ...options,
    });
    consumers.push(consumer);
    return consumer;
  };

  // Planted: prefetch left out: all twelve at once.
  it("A12 serves as many at a time as concurrency says, and no more", async () => {
    let running = 0;
    let most = 0;
    let handled = 0;
    for (let user_id = 0; user_id < 12; user_id += 1) await rabbit.send({ user_id });

    await start(
      async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 20));
        running -= 1;
        handled += 1;
      },
      { concurrency: 3 },
    );
    await eventually(() => expect(handled).toBe(12));

    expect(most).toBe(3);
  });

  it("declares the queues it needs, and leaves them alone with declare: false", async () => {
    const own = await rabbit.channel();
    const name = `${rabbit.queue}.retry.50`;
    await own.deleteQueue(name);

    const first = await start(async () => {}, { declare: false });
    await first.close();
    const asked = await rabbit.channel();
    await expect(asked.checkQueue(name)).rejects.toMatchObject({ code: 404 });
    await start(async () => {});

    expect(await rabbit.ready(name)).toBe(0);
  });

  it("says at once what is wrong with queues that exist otherwise, and consumes nothing", async () => {
    const consuming = start(async () => {}, { queueType: "classic" });

    await expect(consuming).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("x-queue-type") });
    expect((await (await rabbit.channel()).checkQueue(rabbit.queue)).consumerCount).toBe(0);
  });

  it.each([
    ["concurrency 0", { concurrency: 0 }],
    ["a fraction of concurrency", { concurrency: 1.5 }],
    ["noAck", { noAck: true } as Options],
    ["no attempt", { attempts: 0 }],
    ["a negative delay", { attemptDelayMs: -1 }],
    ["an unknown place for dead letters", { deadLetter: "somewhere" as never }],
    ["delays that are none", { delaysMs: [] }],
  ])("refuses %s", async (_case, options) => {
    await expect(start(async () => {}, options)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  describe("close()", () => {
    // Planted: the channel closed before the running handler had been answered: its message came again; no cancel: the second was served.
    it("A13 lets running handlers finish and settle, and leaves the rest in the queue", async () => {
      const handled: number[] = [];
      let finish = (): void => {};
      const held = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const consumer = await start(
        async ({ data }) => {
          await held;
          handled.push(data.user_id);
        },
        { concurrency: 1 },
      );
      await rabbit.send({ user_id: 1 });
      await eventually(async () => expect(await rabbit.ready()).toBe(0));
      await rabbit.send({ user_id: 2 });

      const closed = vi.fn();
      const closing = consumer.close().then(closed);
      // Each an answer on the consumer's own connection: by then it would have had those that close it.
      for (let answers = 0; answers < 20; answers += 1) await rabbit.ready();
      expect(closed).not.toHaveBeenCalled();
      finish();
      await closing;
      await consumer.ended;

      expect(handled).toEqual([1]);
      expect(await rabbit.ready()).toBe(1);
      expect(rabbit.errors).toEqual([]);
    });

    it("A13 aborts what is not done in time, and its message is delivered again", async () => {
      const reasons: unknown[] = [];
      const started = vi.fn();
      const consumer = await start(async (_message, claim) => {
        started();
        await untilAborted(claim.signal).catch((reason) => reasons.push(reason));
        throw claim.signal.reason;
      });
      await rabbit.send({ user_id: 7 });
      await eventually(() => expect(started).toHaveBeenCalled());

      await consumer.close({ drainMs: 50 });
      await eventually(async () => expect(await rabbit.ready()).toBe(1));

      expect(reasons).toMatchObject([{ code: "ABORTED" }]);
    });

    it.each([Number.POSITIVE_INFINITY, Number.NaN, -1])("refuses to drain for %s ms", async (drainMs) => {
      const consumer = await start(async () => {});

      await expect(consumer.close({ drainMs })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    });

    // Planted: the signal heard only once the consumer had started.
    it("ends a start that waits for a connection, when its signal aborts", async () => {
      const controller = new AbortController();
      const never = { createChannel: () => new Promise<never>(() => {}), on() {}, removeListener() {} };

      const starting = start(async () => {}, { signal: controller.signal }, never);
      controller.abort();

      await expect(starting).rejects.toMatchObject({ code: "CLOSED" });
    });

    it("is called by its signal", async () => {
      const controller = new AbortController();
      const consumer = await start(async () => {}, { signal: controller.signal });

      controller.abort();
      await consumer.ended;

      expect(rabbit.errors).toEqual([]);
    });

    it("does nothing when it is called again, and leaves the connection open", async () => {
      const consumer = await start(async () => {});

      await Promise.all([consumer.close(), consumer.close()]);
      await consumer[Symbol.asyncDispose]();

      expect(await rabbit.ready()).toBe(0);
    });
  });

  // Planted: a session that opens after the consumer was closed kept: it went on consuming, known to nobody.
  it("A13 does not begin to consume once it was closed while its connection was away", async () => {
    const proxy = await startCutProxy(rabbitmqUrl());
    const connection = await amqp.connect(proxy.url, { recovery: { initialDelay: 20 } });
    const handler = vi.fn(async () => {});
    const reconnected = vi.fn();
    const consumer = await start(handler, {}, connection);
    const asked = vi.spyOn(connection, "createChannel");
    proxy.cut();
    await eventually(() => expect(asked).toHaveBeenCalled());

    await consumer.close({ drainMs: 100 });
    connection.on("connect", reconnected);
    proxy.heal();
    await eventually(() => expect(reconnected).toHaveBeenCalled());
    await rabbit.send({ user_id: 7 });
    // Answers on a channel that was opened after the one that was asked for.
    const later = await connection.createChannel();
    for (let answers = 0; answers < 20; answers += 1) await later.checkQueue(rabbit.queue);

    expect(handler).not.toHaveBeenCalled();
    expect(await rabbit.ready()).toBe(1);
    await connection.close();
    await proxy.close();
  });

  describe("comes back by itself", () => {
    const userIds = (messages: readonly Message[]): number[] => messages.map(({ data }) => data.user_id);

    // Planted: no new session after the channel has closed.
    it("A2 A15 after its channel was closed by the broker", async () => {
      const handled: Message[] = [];
      const channels = vi.spyOn(rabbit.connection, "createChannel");
      await start(async (message) => {
        handled.push(message);
        if (handled.length > 1) return;
        const channel = await channels.mock.results[0]?.value;
        // Nothing was delivered under that number, so the broker closes the channel.
        channel.ack({ fields: { deliveryTag: 99 } });
      });
      await rabbit.send({ user_id: 7 });

      await eventually(() => expect(userIds(handled)).toEqual([7, 7]));
      await eventually(async () => expect(await rabbit.ready()).toBe(0));

      expect(handled[1]?.fields.redelivered).toBe(true);
      expect(rabbit.errors.some(({ message }) => message.includes("the channel was closed by the broker"))).toBe(true);
    });

    // Planted: a cancelled consumer not started anew; queues not declared again.
    it("A5 after its queue was deleted, with the queue declared anew", async () => {
      const handled: Message[] = [];
      const onCancelled = vi.fn();
      await start(async (message) => handled.push(message), { onCancelled });
      await rabbit.send({ user_id: 1 });
      await eventually(() => expect(userIds(handled)).toEqual([1]));

      await (await rabbit.channel()).deleteQueue(rabbit.queue);
      await eventually(async () => (await (await rabbit.channel()).checkQueue(rabbit.queue)).consumerCount === 1);
      await rabbit.send({ user_id: 2 });

      await eventually(() => expect(userIds(handled)).toEqual([1, 2]));
      expect(onCancelled).toHaveBeenCalledTimes(1);
    });

    // Planted: the new session asked of the connection that had gone.
    it("A15 after its connection broke, where the connection recovers", async () => {
      const handled: Message[] = [];
      const proxy = await startCutProxy(rabbitmqUrl());
      const connection = await amqp.connect(proxy.url, { recovery: { initialDelay: 20 } });
      const consumer = await start(async (message) => handled.push(message), {}, connection);
      await rabbit.send({ user_id: 1 });
      await eventually(() => expect(userIds(handled)).toEqual([1]));

      proxy.cut();
      await rabbit.send({ user_id: 2 });
      proxy.heal();

      // The connection may have broken before the first message was acknowledged: then it comes again.
      await eventually(() => expect([...new Set(userIds(handled))]).toEqual([1, 2]));
      await consumer.close();
      await connection.close();
      await proxy.close();
    });

    // Planted: amqplib's close() of a channel awaited alone, which is never answered when the connection goes first.
    it("A15 after its connection broke while it closed a channel of its own", async () => {
      const handled: Message[] = [];
      const proxy = await startCutProxy(rabbitmqUrl());
      const connection = await amqp.connect(proxy.url, { recovery: { initialDelay: 20 } });
      // What amqplib gives the broker as the reason why it closes a channel.
      const isCut = proxy.cutBefore("Goodbye");

      const consumer = await start(async (message) => handled.push(message), {}, connection);
      await isCut;
      await rabbit.send({ user_id: 1 });

      await eventually(() => expect(userIds(handled)).toEqual([1]));
      await consumer.close();
      await connection.close();
      await proxy.close();
    });

    // Planted: five refusals of any kind taken for the end.
    it("A15 after the connection has refused channels for a while", async () => {
      const handled: Message[] = [];
      const channels: Channel[] = [];
      let refusals = 0;
      const connection: AmqpConnection = {
        async createChannel() {
          if (channels.length > 0 && refusals < 5) {
            refusals += 1;
            throw new Error("No channels left to allocate");
          }
          const channel = await rabbit.connection.createChannel();
          channels.push(channel);
          return channel;
        },
        on: (event, listener) => rabbit.connection.on(event, listener),
        removeListener: (event, listener) => rabbit.connection.removeListener(event, listener),
      };
      await start(async (message) => handled.push(message), {}, connection);

      channels[0]?.ack({ fields: { deliveryTag: 99 } } as never);
      await eventually(() => expect(channels).toHaveLength(2), { timeoutMs: 20_000 });
      await rabbit.send({ user_id: 7 });

      await eventually(() => expect(userIds(handled)).toEqual([7]));
      expect(refusals).toBe(5);
    });

    // Planted: a connection that is closed for good asked for ever.
    it("A15 or ends, and says so, when the connection does not", async () => {
      const connection = await amqp.connect(rabbitmqUrl());
      connection.on("error", () => {});
      const consumer = await start(async () => {}, {}, connection);

      await connection.close();

      const error = await consumer.ended.catch((reason: unknown) => reason);
      expect(isExclaimError(error)).toBe(true);
      expect(rabbit.errors.at(-1)?.message).toContain("the consumer has ended, connect anew");
    });
  });
});
