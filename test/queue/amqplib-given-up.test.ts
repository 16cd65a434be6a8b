import { randomUUID } from "node:crypto";
import type { Channel, ConfirmChannel, GetMessage } from "amqplib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import { type AmqpClaimOptions, type AmqpDelivery, withClaim } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import { DELAYS_MS, openRabbit, publishConfirmed, type Rabbit } from "./rabbit.ts";
import { ScriptedPool, untilAborted, type Voucher } from "./scripted-pool.ts";

interface SignUp {
  readonly user_id: number;
}

type Message = AmqpDelivery<SignUp>;

const down = new ExclaimError("DATABASE_UNREACHABLE", "connect ECONNREFUSED");

describe("a message that is given up", () => {
  let rabbit: Rabbit;
  let own: ConfirmChannel;

  beforeEach(async () => {
    rabbit = await openRabbit();
    own = await rabbit.connection.createConfirmChannel();
  });

  afterEach(async () => {
    await rabbit.close();
  });

  const callback = (
    channel: Channel,
    handler: (message: Message, claim: { readonly signal: AbortSignal }) => Promise<unknown>,
    options: Partial<AmqpClaimOptions<SignUp, Voucher>> = {},
  ) =>
    withClaim(channel, (message: Message, claim) => handler(message, claim), {
      pool: new ScriptedPool("run"),
      claimant: (message) => String(message.data.user_id),
      delaysMs: DELAYS_MS,
      attemptDelayMs: 50,
      onError: rabbit.onError,
      ...options,
    });

  const failing = () =>
    vi.fn(async (_message: Message): Promise<never> => {
      throw new RangeError("no such address");
    });

  // Planted: put off as it was: the handler ran again each time the note failed; the account of its row before the try, and left out.
  it("S5 is not served again while its reason and its row's end cannot be kept, and is noted with them once they can", async () => {
    const messageId = "imp-spring-7";
    const pool = new ScriptedPool("run");
    const handler = failing();
    pool.onAccount = async () => {
      if (pool.accounted.length < 2) throw down;
    };
    pool.onDeadLetter = async () => {
      if (pool.deadLetters.length < 2) throw down;
    };
    await rabbit.consume((channel) => callback(channel, handler, { pool, delaysMs: [50] }));

    await rabbit.send({ user_id: 7 }, { messageId });
    const dead = await rabbit.deadLetter();

    const error = { message: "no such address" };
    expect(handler).toHaveBeenCalledTimes(1);
    expect(pool.accounted).toMatchObject(Array(3).fill({ messageId, claimant: "7", end: { status: "given-up", error } }));
    expect(pool.deadLetters).toMatchObject(Array(2).fill({ messageId, claimant: "7", error }));
    expect(dead.content.toString()).toBe('{"user_id":7}');
    expect(rabbit.errors).toMatchObject([{ code: "DATABASE_UNREACHABLE" }]);
  });

  // Planted: the code of an error of ours lost on the way.
  it("keeps the code of its reason while it waits to be noted", async () => {
    const pool = new ScriptedPool({ status: "empty" });
    pool.onDeadLetter = async () => {
      if (pool.deadLetters.length < 2) throw down;
    };
    await rabbit.consume((channel) => callback(channel, async () => {}, { pool, delaysMs: [50] }));

    await rabbit.send({ user_id: 7 });
    await rabbit.deadLetter();

    expect(pool.deadLetters[1]).toMatchObject({ error: { code: "REFUSED", message: "empty: the pool has no free row" } });
  });

  // Planted: nack after a detour: the exchange got the work queue's name for a key, and dropped the message.
  it("A8 reaches an exchange that sorts dead letters by their own routing key, also after it was put off", async () => {
    const [exchange, dlx, queue, dead] = ["in", "dlx", "own", "buried"].map((part) => `${rabbit.queue}.${part}`) as [
      string,
      string,
      string,
      string,
    ];
    await own.assertExchange(exchange, "topic", { autoDelete: true });
    await own.assertExchange(dlx, "topic", { autoDelete: true });
    await own.assertQueue(queue, { autoDelete: true, deadLetterExchange: dlx });
    await own.assertQueue(dead, { autoDelete: true });
    await own.bindQueue(queue, exchange, "user.#");
    await own.bindQueue(dead, dlx, "user.#");
    const channel = await rabbit.channel();
    await channel.consume(queue, callback(channel, failing(), { attempts: 2 }));

    await publishConfirmed(own, { exchange, routingKey: "user.created" }, Buffer.from('{"user_id":7}'), {
      headers: { a: 1 },
      type: "sign-up",
    });
    const letter = await eventually(() => own.get(dead, { noAck: true }) as Promise<GetMessage>, { what: "a dead letter" });

    expect(letter.fields).toMatchObject({ exchange: dlx, routingKey: "user.created" });
    expect(letter.properties).toMatchObject({ headers: { a: 1 }, type: "sign-up" });
    for (const delayMs of DELAYS_MS) await own.deleteQueue(`${queue}.retry.${delayMs}`);
  });

  describe("of which there can be no copy", () => {
    // Planted: given back instead, again and again, with no attempt counted.
    it.each([
      [
        "whose headers amqplib can read and not write",
        { "!": "timestamp", value: "no number", nested: { "!": "no such type", value: 1 } },
      ],
      ["whose headers are too large for another", { text: "x".repeat(62_500) }],
    ])("is dead-lettered at its first failure: %s", async (_case, headers) => {
      const pool = new ScriptedPool("run");
      const handler = failing();
      await rabbit.consume((channel) =>
        callback(
          channel,
          async (message) => {
            // As another client may have sent it.
            message.properties.headers = headers as never;
            return handler(message);
          },
          { pool, attempts: 5 },
        ),
      );

      await rabbit.send({ user_id: 7 }, { messageId: "imp-spring-7" });
      await rabbit.deadLetter();

      expect(handler).toHaveBeenCalledTimes(1);
      expect(pool.accounted).toMatchObject([{ end: { status: "given-up", error: { code: "MESSAGE_INVALID" } } }]);
    });
  });

  // Planted: accounted where messages are served alone, which this one never was: nothing was told.
  it("without being served, since nobody can read it, is told to its import all the same", async () => {
    const pool = new ScriptedPool("run");
    await rabbit.consume((channel) => callback(channel, failing(), { pool }));

    await rabbit.sendRaw(Buffer.from("{"), { messageId: "imp-spring-7" });
    await rabbit.deadLetter();

    const end = { status: "given-up", error: { code: "MESSAGE_INVALID" } };
    expect(pool.requests).toEqual([]);
    expect(pool.accounted).toMatchObject([{ messageId: "imp-spring-7", end }]);
    expect(pool.accounted[0]).not.toHaveProperty("claimant");
  });

  // Planted: the delay queue declared on the channel that publishes, which its refusal closed under the copies of others.
  it("F7 does no harm to others when one delay queue cannot be declared", async () => {
    const bad = `${rabbit.queue}.retry.77`;
    await own.assertQueue(bad, { autoDelete: true });
    const contended = { status: "contended", retryAfterMs: 0 } as const;
    const pool = new ScriptedPool(contended);
    const served = new Set<string>();
    const seen = new Map<string, number>();
    pool.claim = async (request) => {
      const times = (seen.get(request.claimant) ?? 0) + 1;
      seen.set(request.claimant, times);
      if (times <= 2) return contended;
      served.add(request.claimant);
      return { status: "completed", result: undefined as never };
    };
    await rabbit.consume(
      (channel) =>
        callback(channel, async () => {}, {
          pool,
          delaysMs: [50, 77],
          onContended: ({ claimant }) => ({ do: "retry", delayMs: Number(claimant) % 10 === 0 ? 77 : 50 }),
        }),
      50,
    );

    for (let user_id = 1; user_id <= 50; user_id += 1) await rabbit.send({ user_id });
    await eventually(() => expect(served.size).toBe(50), { timeoutMs: 20_000 });

    // Five of fifty meet the bad one, twice each.
    expect(rabbit.errors.map(({ message }) => message).filter((message) => !message.includes("inequivalent arg"))).toEqual([]);
    expect(rabbit.errors).toHaveLength(10);
    await own.deleteQueue(bad);
  });

  // Planted: the publisher's id alone, so that a message without one was never given up.
  it("gives its claim up also when its publisher gave it no id", async () => {
    const pool = new ScriptedPool({ status: "lost", error: new ExclaimError("LEASE_LOST", "too slow") });
    await rabbit.consume((channel) =>
      callback(channel, async () => {}, { pool, onLost: { do: "dead-letter" }, onGiveUp: "release" }),
    );

    await rabbit.send({ user_id: 7 });
    await rabbit.deadLetter();

    expect(pool.givenUp).toMatchObject([{ claimant: "7", onGiveUp: "release" }]);
    expect(pool.givenUp[0]?.messageId).toMatch(/^\S+$/);
    expect(pool.givenUp[0]?.messageId).toBe(pool.requests[0]?.messageId);
    expect(pool.deadLetters[0]).not.toHaveProperty("messageId");
  });

  // RabbitMQ 4.3 cancels a consumer that is too slow and puts its messages back; here an older one is told to be that.
  // Planted: a copy published all the same: two messages.
  it("A11 is not copied when the broker has put it back itself", async () => {
    const channel = await rabbit.channel();
    const { serverProperties } = channel.connection as { serverProperties: { version: string } };
    const { version } = serverProperties;
    serverProperties.version = "4.3.0";
    try {
      const tag = randomUUID();
      const started = vi.fn();
      const claiming = callback(channel, async (_message, claim) => {
        started();
        await untilAborted(claim.signal);
      });
      await channel.consume(rabbit.queue, claiming, { consumerTag: tag });
      await rabbit.send({ user_id: 7 });
      await eventually(() => expect(started).toHaveBeenCalled());

      channel.emit("cancel", { consumerTag: tag });
      await claiming.drain();
      const waiting = await Promise.all(rabbit.topology.delayQueues.map(({ name }) => rabbit.ready(name)));
      await channel.close();

      expect(waiting).toEqual([0, 0, 0, 0]);
      await eventually(async () => expect(await rabbit.ready()).toBe(1));
    } finally {
      serverProperties.version = version;
    }
  });
});
