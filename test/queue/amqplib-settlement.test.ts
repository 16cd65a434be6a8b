import type { Channel } from "amqplib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ExclaimError } from "../../src/errors.ts";
import { type AmqpClaimOptions, type AmqpDelivery, withClaim } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import { DELAYS_MS, openRabbit, type Rabbit } from "./rabbit.ts";
import { ScriptedPool, untilAborted, type Voucher } from "./scripted-pool.ts";

interface SignUp {
  readonly user_id: number;
}

type Message = AmqpDelivery<SignUp>;
type Options = Partial<AmqpClaimOptions<SignUp, Voucher>>;

describe("settlement", () => {
  let rabbit: Rabbit;

  beforeEach(async () => {
    rabbit = await openRabbit();
  });

  afterEach(async () => {
    await rabbit.close();
  });

  const claimant = (message: Message) => String(message.data.user_id);

  /** What `withClaim` makes for a channel, with a scripted pool. */
  const callback = (channel: Channel, handler: (message: Message) => Promise<unknown>, options: Options = {}) =>
    withClaim(channel, (message: Message) => handler(message), {
      pool: new ScriptedPool("run"),
      claimant,
      delaysMs: DELAYS_MS,
      onError: rabbit.onError,
      ...options,
    });

  /** How often the message that is taken next from the queue was handed out before. */
  const nextIsRedelivered = async (): Promise<boolean> => {
    const own = await rabbit.channel();
    const message = await eventually(async () => (await own.get(rabbit.queue)) || null, { what: "a message" });
    own.ack(message);
    return message.fields.redelivered;
  };

  // Planted: the delivery not caught: an unhandled rejection, which fails the run.
  it("A1 dead-letters whatever a handler throws, at once or later, and keeps the channel open", async () => {
    const thrown: unknown[] = [new Error("later"), undefined, null, "a text", Object.create(null), { message: 1n }];
    const closed = vi.fn();

    const channel = await rabbit.consume((channel) =>
      callback(channel, async ({ data }) => {
        throw thrown[data.user_id];
      }),
    );
    channel.on("close", closed);
    for (const index of thrown.keys()) await rabbit.send({ user_id: index });
    await eventually(async () => expect(await rabbit.ready(rabbit.topology.deadLetterQueue)).toBe(6));

    expect(closed).not.toHaveBeenCalled();
    expect(rabbit.errors).toEqual([]);
  });

  it("A1 dead-letters the message of a handler that is no async function and throws", async () => {
    const handler = (): never => {
      throw new Error("at once");
    };

    await rabbit.consume((channel) => callback(channel, handler as () => Promise<never>));
    await rabbit.send({ user_id: 7 });

    expect((await rabbit.deadLetter()).content.toString()).toBe('{"user_id":7}');
  });

  // Planted: no look at the consumer's channel: the message was acknowledged on the wrong one, where it was somebody else's.
  it("A2 leaves a message alone that came on another channel than its own, and says so", async () => {
    const handler = vi.fn(async () => {});
    const first = await rabbit.channel();
    const second = await rabbit.channel();
    const forFirst = callback(first, handler);
    const closed = vi.fn();
    second.on("close", closed);

    await second.consume(rabbit.queue, forFirst);
    await rabbit.send({ user_id: 7 });
    const [error] = await eventually(() => rabbit.errors.length > 0 && rabbit.errors);
    await second.close();

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("another channel") });
    expect(handler).not.toHaveBeenCalled();
    expect(await nextIsRedelivered()).toBe(true);
  });

  // Planted: settled without looking whether the channel is gone, on a channel read anew: the neighbour's message was acknowledged.
  it("A2 A4 settles nothing once its channel has closed, whatever newer channel there is", async () => {
    let finish = (): void => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const handler = vi.fn(async () => held);
    const first = await rabbit.consume((channel) => callback(channel, handler));
    await rabbit.send({ user_id: 7 });
    await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

    await first.close();
    const second = await rabbit.channel();
    const again = await eventually(async () => (await second.get(rabbit.queue)) || null);
    finish();
    await rabbit.send({ user_id: 8 });
    await eventually(async () => expect(await rabbit.ready()).toBe(1));

    expect(again.fields.redelivered).toBe(true);
    // Still ours alone: an acknowledgement by the first handler would have closed this channel when we acknowledge now.
    second.ack(again);
    const next = await second.get(rabbit.queue);
    expect(next && JSON.parse(next.content.toString())).toEqual({ user_id: 8 });
    expect(rabbit.errors).toEqual([]);
  });

  // Planted: acknowledged both after the copy and at the end: the broker closed the channel with 406.
  it("A3 settles each of 300 messages once, whatever comes of them", async () => {
    const closed = vi.fn();
    const seen = new Map<number, number>();
    const channel = await rabbit.consume((channel) =>
      callback(
        channel,
        async ({ data: { user_id } }) => {
          const times = (seen.get(user_id) ?? 0) + 1;
          seen.set(user_id, times);
          if (user_id % 3 === 1 && times === 1) throw new Error("once more");
          if (user_id % 3 === 2) throw Object.assign(new Error("never"), { name: "UnrecoverableError" });
        },
        { attempts: 2, attemptDelayMs: 50 },
      ),
    );
    channel.on("close", closed);

    for (let user_id = 0; user_id < 300; user_id += 1) await rabbit.send({ user_id });
    await eventually(async () => expect(await rabbit.ready(rabbit.topology.deadLetterQueue)).toBe(100));
    await eventually(() => expect([...seen.values()].reduce((sum, times) => sum + times, 0)).toBe(400));
    await rabbit.drained();
    await channel.close();

    expect(closed).toHaveBeenCalledTimes(1);
    expect(await rabbit.ready()).toBe(0);
    expect([...seen.values()].filter((times) => times > 2)).toEqual([]);
    expect(rabbit.errors).toEqual([]);
  });

  // Planted: the close event not heard: the handler was not told, and waited for ever.
  it("A4 A11 aborts the claims of a channel that the broker closes, and keeps its messages for another delivery", async () => {
    const reasons: ExclaimError[] = [];
    const pool = new ScriptedPool("run");
    const channel = await rabbit.channel();
    const claiming = withClaim(
      channel,
      async (_message: Message, claim) => {
        await untilAborted(claim.signal).catch((reason) => reasons.push(reason));
        throw claim.signal.reason;
      },
      { pool, claimant, onError: rabbit.onError },
    );
    await channel.consume(rabbit.queue, claiming);
    await rabbit.send({ user_id: 7 });
    await rabbit.send({ user_id: 8 });
    await eventually(() => expect(pool.requests).toHaveLength(2));

    // What RabbitMQ does to a channel on which something is acknowledged that is not there.
    channel.ack({ fields: { deliveryTag: 99 } } as never);
    await eventually(() => expect(reasons).toHaveLength(2));
    await claiming.drain();

    expect(reasons.map(({ code }) => code)).toEqual(["ABORTED", "ABORTED"]);
    // The engine is told that the row is to be kept, since the message comes again.
    expect(pool.requests.map(({ judge }) => judge?.(reasons[0]))).toEqual(["pause", "pause"]);
    expect(pool.deadLetters).toEqual([]);
    expect(await nextIsRedelivered()).toBe(true);
    expect(await nextIsRedelivered()).toBe(true);
  });

  describe("a consumer that the broker cancels", () => {
    // Planted: claims not aborted at a cancel; the hook not called.
    it("A5 aborts its claims, calls onCancelled, and puts its messages off, so that they outlive the queue", async () => {
      const onCancelled = vi.fn();
      const reasons: ExclaimError[] = [];
      await rabbit.consume((channel) =>
        withClaim(
          channel,
          async (_message: Message, claim) => {
            await untilAborted(claim.signal).catch((reason) => reasons.push(reason));
            throw claim.signal.reason;
          },
          {
            pool: new ScriptedPool("run"),
            claimant,
            onCancelled,
            delaysMs: [1_000],
            onLost: { do: "retry", delayMs: 1_000 },
            onError: rabbit.onError,
          },
        ),
      );
      await rabbit.send({ user_id: 7 });
      const own = await rabbit.channel();
      await eventually(async () => expect(await rabbit.ready()).toBe(0));

      await own.deleteQueue(rabbit.queue);
      await eventually(async () => expect(await rabbit.ready(`${rabbit.queue}.retry.1000`)).toBe(1));

      expect(onCancelled).toHaveBeenCalledExactlyOnceWith();
      expect(reasons).toMatchObject([{ code: "ABORTED", message: expect.stringContaining("cancelled the consumer") }]);
    });

    it("A5 survives a hook that throws or rejects, and reports it", async () => {
      const channel = await rabbit.channel();
      const throwing = () => {
        throw new Error("the hook broke");
      };
      callback(channel, async () => {}, { onCancelled: throwing })(null);
      callback(channel, async () => {}, { onCancelled: (async () => throwing()) as never })(null);

      await eventually(() => expect(rabbit.errors).toHaveLength(2));
      expect(rabbit.errors.map(({ message }) => message)).toEqual([
        "onCancelled threw: the hook broke",
        "onCancelled threw: the hook broke",
      ]);
    });
  });

  describe("what would lose messages", () => {
    it("A2 refuses noAck before the first message is handed out", async () => {
      const handler = vi.fn(async () => {});
      const channel = await rabbit.channel();
      await rabbit.send({ user_id: 7 });

      const consuming = channel.consume(rabbit.queue, callback(channel, handler), { noAck: true });

      await expect(consuming).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("noAck") });
      expect(await nextIsRedelivered()).toBe(false);
      expect(handler).not.toHaveBeenCalled();
    });

    it("leaves other callbacks on the channel as they are, noAck and all", async () => {
      const channel = await rabbit.channel();
      callback(channel, async () => {});
      const messages: unknown[] = [];

      await channel.consume(rabbit.queue, (message) => messages.push(message?.content.toString()), { noAck: true });
      await rabbit.send({ user_id: 7 });

      await eventually(() => expect(messages).toEqual(['{"user_id":7}']));
    });

    it("refuses a queue without a place for dead letters, before the first message is handed out", async () => {
      const channel = await rabbit.channel();
      const bare = `${rabbit.queue}.bare`;
      await channel.assertQueue(bare, { autoDelete: true });

      const consuming = channel.consume(
        bare,
        callback(channel, async () => {}),
      );

      await expect(consuming).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(bare) });
      await channel.deleteQueue(bare);
    });

    it.each(["policy", "discard"] as const)("takes such a queue where deadLetter says %s", async (deadLetter) => {
      const pool = new ScriptedPool({ status: "empty" });
      const channel = await rabbit.channel();
      const bare = `${rabbit.queue}.bare`;
      await channel.assertQueue(bare, { autoDelete: true });
      await channel.consume(
        bare,
        callback(channel, async () => {}, { pool, deadLetter }),
      );

      const own = await rabbit.connection.createConfirmChannel();
      own.sendToQueue(bare, Buffer.from('{"user_id":7}'), { messageId: "m-1" });
      await eventually(() => expect(pool.deadLetters).toHaveLength(1));
      await channel.close();

      expect(pool.deadLetters).toMatchObject([
        {
          queue: bare,
          messageId: "m-1",
          claimant: "7",
          error: { code: "REFUSED", message: "empty: the pool has no free row" },
        },
      ]);
    });
  });

  // Planted: nack with requeue for contention: thousands of deliveries.
  it("A6 A9 puts a contended message off without a hot loop, and without counting against a delivery limit", async () => {
    const limited = await openRabbit({ deliveryLimit: 2 });
    try {
      const contended = { status: "contended", retryAfterMs: 0 } as const;
      const pool = new ScriptedPool(...Array<typeof contended>(6).fill(contended), "run");
      const started = performance.now();
      const redelivered: boolean[] = [];
      const handler = vi.fn(async ({ fields }: Message) => {
        redelivered.push(fields.redelivered);
      });

      await limited.consume((channel) =>
        callback(channel, handler, { pool, onContended: { do: "retry", delayMs: 50 }, onError: limited.onError }),
      );
      await limited.send({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      // Each of six delays is at least as long as it says.
      expect(performance.now() - started).toBeGreaterThan(6 * 50);
      expect(pool.requests).toHaveLength(7);
      expect(redelivered).toEqual([false]);
      expect(limited.errors).toEqual([]);
    } finally {
      await limited.close();
    }
  });

  // Planted: deferrals taken from the copy's header alone; from the broker's count alone, which a classic queue does not have.
  it.each(["quorum", "classic"] as const)(
    "A9 counts a delivery of a %s queue whose process died as a deferral, so that it is not dropped as somebody else's",
    async (queueType) => {
      const counting = await openRabbit({ queueType });
      try {
        const contexts: object[] = [];
        const contended = { status: "contended", retryAfterMs: 0 } as const;
        await counting.send({ user_id: 7 });
        const doomed = await counting.channel();
        await eventually(async () => (await doomed.get(counting.queue)) !== false);
        await doomed.close();

        await counting.consume((channel) =>
          callback(channel, async () => {}, {
            queueType,
            pool: new ScriptedPool(contended, "run"),
            onContended: ({ deferrals, attemptsMade }) => {
              contexts.push({ deferrals, attemptsMade });
              return { do: "drop" };
            },
          }),
        );

        await eventually(() => expect(contexts).toEqual([{ deferrals: 1, attemptsMade: 0 }]));
        await counting.drained();
        expect(rabbit.errors).toEqual([]);
      } finally {
        await counting.close();
      }
    },
  );
});
