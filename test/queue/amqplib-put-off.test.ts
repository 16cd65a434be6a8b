import type { ConfirmChannel, Options } from "amqplib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type AmqpClaimOptions, type AmqpDelivery, withClaim } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import { DELAYS_MS, openRabbit, publishConfirmed, type Rabbit } from "./rabbit.ts";
import { ScriptedPool, type Voucher } from "./scripted-pool.ts";

interface SignUp {
  readonly user_id: number;
}

type Message = AmqpDelivery<SignUp>;

const contended = { status: "contended", retryAfterMs: 0 } as const;

/** Answers with contention so often. */
const contendedTimes = (times: number) => new ScriptedPool(...Array<typeof contended>(times).fill(contended), "run");

describe("a message that is put off", () => {
  let rabbit: Rabbit;
  let own: ConfirmChannel;

  beforeEach(async () => {
    rabbit = await openRabbit();
    own = await rabbit.connection.createConfirmChannel();
  });

  afterEach(async () => {
    await rabbit.close();
  });

  /** Serves the queue and collects what the handler gets. */
  const serve = async (pool: ScriptedPool, options: Partial<AmqpClaimOptions<SignUp, Voucher>> = {}): Promise<Message[]> => {
    const handled: Message[] = [];
    await rabbit.consume((channel) =>
      withClaim(
        channel,
        async (message: Message) => {
          handled.push(message);
        },
        {
          pool,
          claimant: (message) => String(message.data?.user_id),
          onContended: { do: "retry", delayMs: 50 },
          delaysMs: DELAYS_MS,
          onError: rabbit.onError,
          ...options,
        },
      ),
    );
    return handled;
  };

  const handledBy = (messages: readonly Message[], count = 1): Promise<Message[]> =>
    eventually(() => messages.length >= count && [...messages], { what: `${count} handled messages` });

  describe("keeps what it was published with", () => {
    const everyProperty: Options.Publish = {
      contentType: "application/json",
      contentEncoding: "utf-8",
      headers: { a: 1, text: "ä", list: [1, "two"], table: { deep: true }, bytes: Buffer.from([0, 255]) },
      priority: 3,
      correlationId: "c-1",
      replyTo: "answers",
      messageId: "m-1",
      timestamp: 1_700_000_000,
      type: "sign-up",
      appId: "admin",
    };

    // Planted, one by one: a property left out of the copy; headers not copied; x-death left in.
    it("A17 its content, properties and headers", async () => {
      await rabbit.send({ user_id: 7 }, everyProperty);

      const [message] = await handledBy(await serve(contendedTimes(3)));

      expect(message?.content.toString()).toBe('{"user_id":7}');
      expect(message?.data).toEqual({ user_id: 7 });
      expect(message?.properties).toMatchObject({ ...everyProperty, deliveryMode: 2 });
      expect(Object.keys(message?.properties.headers ?? {}).sort()).toEqual(["a", "bytes", "list", "table", "text"]);
      expect(rabbit.errors).toEqual([]);
    });

    // Planted: the routing of the copy left as it came.
    it("A17 its exchange and routing key", async () => {
      const exchange = `${rabbit.queue}.topic`;
      await own.assertExchange(exchange, "topic", { autoDelete: true });
      await own.bindQueue(rabbit.queue, exchange, "user.#");

      await publishConfirmed(own, { exchange, routingKey: "user.created.7" }, Buffer.from('{"user_id":7}'), {});
      const [message] = await handledBy(await serve(contendedTimes(2)));

      expect(message?.fields).toMatchObject({ exchange, routingKey: "user.created.7" });
    });

    // Planted: CC copied as a header, by which the broker sent every copy to the other queue as well.
    it("A17 its CC, without the copies being sent there again", async () => {
      const other = `${rabbit.queue}.cc`;
      await own.assertQueue(other, { autoDelete: true });

      await rabbit.send({ user_id: 7 }, { CC: [other] });
      const [message] = await handledBy(await serve(contendedTimes(3)));

      expect(message?.properties.headers).toEqual({ CC: [other] });
      expect(await rabbit.ready(other)).toBe(1);
      await own.deleteQueue(other);
    });

    // Planted: the expiration copied, which ended a wait of a second after 400 ms.
    it("A17 its expiration, without its wait being cut short", async () => {
      const handled = await serve(contendedTimes(1), { onContended: { do: "retry", delayMs: 1_000 } });
      const started = performance.now();

      await rabbit.send({ user_id: 7 }, { expiration: "400" });
      const [message] = await handledBy(handled);

      expect(message?.properties.expiration).toBe("400");
      expect(performance.now() - started).toBeGreaterThan(1_000);
    });

    // Planted: the user id copied, for which the broker closes the channel unless it is the consumer's own.
    it("A17 the user id that the broker had checked", async () => {
      await rabbit.send({ user_id: 7 }, { userId: "guest" });

      const [message] = await handledBy(await serve(contendedTimes(2)));

      expect(message?.properties.userId).toBe("guest");
      expect(rabbit.errors).toEqual([]);
    });

    it("A17 its delivery mode, though the copy itself is persistent", async () => {
      await rabbit.send({ user_id: 7 }, { persistent: false });

      const [message] = await handledBy(await serve(contendedTimes(1)));

      expect(message?.properties.deliveryMode).toBe(1);
    });

    // Planted: headers of deaths before ours dropped with the detour's.
    it("A8 A17 what earlier deaths have left in it", async () => {
      const before = `${rabbit.queue}.before`;
      await own.assertQueue(before, {
        autoDelete: true,
        messageTtl: 1,
        deadLetterExchange: "",
        deadLetterRoutingKey: rabbit.queue,
      });
      await publishConfirmed(own, { exchange: "", routingKey: before }, Buffer.from('{"user_id":7}'), {});

      const [message] = await handledBy(await serve(contendedTimes(3)));

      expect(message?.properties.headers?.["x-death"]).toMatchObject([{ queue: before, reason: "expired", count: 1 }]);
      expect(message?.properties.headers).toMatchObject({ "x-first-death-queue": before });
      expect(message?.fields.routingKey).toBe(rabbit.queue);
      await own.deleteQueue(before);
    });
  });

  // Planted: one delay queue for all steps, with the delay as the message's own expiration.
  it("A7 does not wait behind one that is put off for longer", async () => {
    const order: number[] = [];
    const pool = contendedTimes(2);
    await rabbit.send({ user_id: 1_000 });
    await rabbit.send({ user_id: 50 });

    const handled = await serve(pool, {
      onContended: ({ message }) => ({ do: "retry", delayMs: message.data.user_id }),
    });
    for (const { data } of await handledBy(handled, 2)) order.push(data.user_id);

    expect(order).toEqual([50, 1_000]);
  });

  // Planted: rounded up to the next step: after a minute.
  it("A7 waits hardly longer than it is told between two steps, in two turns", async () => {
    const pool = contendedTimes(1);
    const handled = await serve(pool, { delaysMs: [50, 250, 60_000], onContended: { do: "retry", delayMs: 300 } });
    const started = performance.now();

    await rabbit.send({ user_id: 7 });
    await handledBy(handled);

    expect(performance.now() - started).toBeGreaterThan(300);
    expect(pool.requests).toHaveLength(2);
    await own.deleteQueue(`${rabbit.queue}.retry.60000`);
  });

  // Planted: the rest of the delay forgotten: served after the longest step.
  it("A7 waits for longer than the longest step, without being served or counted on the way", async () => {
    const started = performance.now();
    const pool = contendedTimes(1);
    await rabbit.send({ user_id: 7 });

    await handledBy(await serve(pool, { delaysMs: [100, 250], onContended: { do: "retry", delayMs: 800 } }));

    expect(performance.now() - started).toBeGreaterThan(800);
    expect(pool.requests).toHaveLength(2);
    expect(rabbit.errors).toEqual([]);
  });

  // Planted: x-death copied from cycle to cycle would grow; a detour within the detour would too.
  it("A8 comes back however often, and carries no more for it", async () => {
    await rabbit.send({ user_id: 7 }, { headers: { a: 1 } });
    const contexts: number[] = [];

    const handled = await serve(contendedTimes(25), {
      delaysMs: [50],
      onContended: ({ deferrals, message }) => {
        contexts.push(deferrals);
        expect(Object.keys(message.properties.headers ?? {})).toEqual(["a"]);
        return { do: "retry", delayMs: 1 };
      },
    });
    await handledBy(handled);

    expect(contexts).toEqual(Array.from({ length: 25 }, (_, index) => index));
    expect(rabbit.errors).toEqual([]);
  });

  // Planted: the copy published without `mandatory`: it was confirmed and gone.
  it("F7 is not lost when its delay queue was deleted: the queue is declared anew", async () => {
    const delayQueue = `${rabbit.queue}.retry.50`;
    const handled = await serve(new ScriptedPool(contended, "run", contended, "run"));
    await rabbit.send({ user_id: 7 });
    await handledBy(handled);

    await own.deleteQueue(delayQueue);
    await rabbit.send({ user_id: 8 });
    const [, second] = await handledBy(handled, 2);

    expect(second?.data).toEqual({ user_id: 8 });
    expect(rabbit.errors).toEqual([]);
  });

  // Planted: acknowledged although the copy could not be published: the message was gone.
  it("is given back to its queue, and the fault reported, when no copy of it can be kept", async () => {
    const name = `${rabbit.queue}.retry.77`;
    await own.assertQueue(name, { autoDelete: true });
    await rabbit.send({ user_id: 7 });

    const [message] = await handledBy(
      await serve(contendedTimes(1), { delaysMs: [77], onContended: { do: "retry", delayMs: 77 } }),
    );

    expect(message?.fields.redelivered).toBe(true);
    expect(rabbit.errors).toMatchObject([{ message: expect.stringContaining("could not be put off and is given back") }]);
    expect(await rabbit.ready(name)).toBe(0);
    await own.deleteQueue(name);
  });

  it("starts anew when somebody sends a dead letter again", async () => {
    const contexts: object[] = [];
    const pool = new ScriptedPool("run");
    let fails = true;
    const handler = vi.fn(async () => {
      if (fails) throw new Error("the mail server is down");
    });
    const channel = await rabbit.consume((channel) =>
      withClaim(channel, handler, {
        pool,
        claimant: (message: Message) => String(message.data.user_id),
        attempts: 2,
        attemptDelayMs: 50,
        delaysMs: DELAYS_MS,
        onError: rabbit.onError,
      }),
    );
    await rabbit.send({ user_id: 7 });
    const dead = await rabbit.deadLetter();

    fails = false;
    await publishConfirmed(own, { exchange: "", routingKey: rabbit.queue }, dead.content, dead.properties as Options.Publish);
    await eventually(() => expect(handler).toHaveBeenCalledTimes(3));
    await channel.close();

    contexts.push(...pool.requests.map(({ lastAttempt }) => ({ lastAttempt })));
    expect(contexts).toEqual([{ lastAttempt: false }, { lastAttempt: true }, { lastAttempt: false }]);
  });

  it.each([
    ["a number", 7],
    ["counts that are no counts", { deferrals: -1, attempts: 1.5, exchange: "", routingKey: "" }],
    ["routing that is no text", { deferrals: 1, attempts: 1, exchange: 7, routingKey: [] }],
  ])("is taken as it is when its header is somebody else's: %s", async (_case, header) => {
    await rabbit.send({ user_id: 7 }, { headers: { "x-exclaim": header } });
    const deferrals: number[] = [];

    await handledBy(
      await serve(contendedTimes(1), {
        onContended: (context) => {
          deferrals.push(context.deferrals);
          return { do: "retry", delayMs: 50 };
        },
      }),
    );

    expect(deferrals).toEqual([0]);
  });
});
