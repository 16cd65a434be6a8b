import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { amqplibTarget } from "../../src/outbox/amqplib.ts";
import { codesOf, messageOf } from "../conformance/target-conformance.ts";
import { type AmqplibBed, listenersOf, openAmqplibBed, receive } from "./amqplib-beds.ts";

let bed: AmqplibBed;

beforeEach(async () => {
  bed = await openAmqplibBed();
  onTestFinished(() => bed.close());
});

/** An exchange of the test's own, with the queue bound to it by `bound`. */
async function exchangeOf(type: "direct" | "topic"): Promise<string> {
  const exchange = `x-${randomUUID()}`;
  await bed.own.assertExchange(exchange, type, { durable: false, autoDelete: true });
  await bed.own.bindQueue(bed.queue, exchange, "bound");
  return exchange;
}

describe("F7 what no queue is bound for", () => {
  // Planted: without `mandatory`.
  it("is refused although the broker confirms it: there is no such queue", async () => {
    const answers = await amqplibTarget(bed.channel, { queue: "nowhere" }).send([messageOf(1), messageOf(2)]);

    expect(codesOf(answers)).toEqual(["MESSAGE_REFUSED", "MESSAGE_REFUSED"]);
    expect(answers[0]).toMatchObject({ refused: { message: expect.stringMatching(/there is no queue nowhere/) } });
    expect(await bed.works()).toBe(true);
  });

  // Planted: all of a call refused when one is given back.
  it("is refused alone among those that are bound", async () => {
    const messages = Array.from({ length: 300 }, (_, row) => messageOf({ row }, { topic: row % 3 === 1 ? "loose" : "bound" }));

    const answers = await amqplibTarget(bed.channel, { exchange: await exchangeOf("direct") }).send(messages);

    expect(codesOf(answers)).toEqual(messages.map(({ topic }) => (topic === "loose" ? "MESSAGE_REFUSED" : "sent")));
    expect(await bed.received()).toEqual(messages.filter(({ topic }) => topic === "bound"));
  });

  it("is told from what others on the channel get back, and they hear of theirs", async () => {
    const returned: unknown[] = [];
    bed.channel.on("return", ({ properties }) => returned.push(properties.messageId));
    const message = messageOf({ row: 1 });

    bed.channel.publish("", "nowhere", Buffer.from("{}"), { mandatory: true, messageId: message.id });
    const [answers, lost] = await Promise.all([
      bed.target.send([message]),
      amqplibTarget(bed.channel, { queue: "nowhere-else" }).send([message]),
    ]);
    await bed.channel.waitForConfirms();

    expect([codesOf(answers), codesOf(lost)]).toEqual([["sent"], ["MESSAGE_REFUSED"]]);
    expect(returned).toEqual([message.id, message.id]);
  });
});

describe("where messages go", () => {
  it("the routing key is the topic, one for all, or what a function says", async () => {
    const exchange = await exchangeOf("topic");
    const send = async (options: object, topic: string) =>
      codesOf(await amqplibTarget(bed.channel, { exchange, ...options }).send([messageOf(1, { topic })]));

    expect(await send({}, "bound")).toEqual(["sent"]);
    expect(await send({}, "loose")).toEqual(["MESSAGE_REFUSED"]);
    expect(await send({ routingKey: "bound" }, "loose")).toEqual(["sent"]);
    expect(await send({ routingKey: ({ payload }: { payload: unknown }) => (payload === 1 ? "bound" : "") }, "loose")).toEqual([
      "sent",
    ]);
  });

  it("a function of the routing key that throws refuses its message alone", async () => {
    const exchange = await exchangeOf("direct");
    const routingKey = ({ payload }: { payload: unknown }): string => {
      if (payload === 2) throw new Error("no tenant");
      return "bound";
    };

    const answers = await amqplibTarget(bed.channel, { exchange, routingKey }).send([1, 2, 3].map((row) => messageOf(row)));

    expect(codesOf(answers)).toEqual(["sent", "MESSAGE_REFUSED", "sent"]);
    expect(answers[1]).toMatchObject({ refused: { message: expect.stringMatching(/no tenant/) } });
  });

  it("a message is persistent JSON with its id and topic", async () => {
    const message = messageOf({ a: 1 });
    await bed.target.send([message]);

    const found = await bed.own.get(bed.queue, { noAck: true });

    expect(found).toMatchObject({
      properties: { messageId: message.id, type: message.topic, contentType: "application/json", deliveryMode: 2 },
    });
  });

  it.each([
    ["neither a queue nor an exchange", {}, /pass `queue`/],
    ["both", { queue: "a", exchange: "b" }, /pass `queue`/],
    ["a queue without a name", { queue: "" }, /pass `queue`/],
    ["a routing key for a queue", { queue: "a", routingKey: "b" }, /`routingKey` goes with `exchange`/],
  ])("throws CONFIG_INVALID for %s", (_what, options, message) => {
    expect(() => amqplibTarget(bed.channel, options)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(() => amqplibTarget(bed.channel, options)).toThrow(message);
  });

  it("throws CONFIG_INVALID for a channel that does not confirm", async () => {
    const plain = await bed.connection.createChannel();

    expect(() => amqplibTarget(plain as never, { queue: bed.queue })).toThrow(/createConfirmChannel/);
  });
});

describe("what the channel cannot write or the broker would close it over", () => {
  it("is refused alone: a topic over 255 bytes, and content over 16 MiB", async () => {
    const [first, last] = [messageOf(1), messageOf(3)];

    const answers = await bed.target.send([
      first,
      messageOf(2, { topic: "t".repeat(300) }),
      messageOf("x".repeat(16 * 1_024 * 1_024)),
      last,
    ]);

    expect(codesOf(answers)).toEqual(["sent", "MESSAGE_REFUSED", "MESSAGE_REFUSED", "sent"]);
    expect(await receive(bed.own, bed.queue)).toEqual([first, last]);
  });
});

describe("one channel for many targets", () => {
  it("has one set of listeners however many send at once, and none after", async () => {
    const before = listenersOf(bed.channel);
    const targets = Array.from({ length: 20 }, () => amqplibTarget(bed.channel, { queue: bed.queue }));

    const sending = targets.map((target, row) => target.send([messageOf({ row })]));
    const during = listenersOf(bed.channel);
    const answers = await Promise.all(sending);

    expect(during - before).toBe(4);
    expect(answers.flat()).toEqual(targets.map(() => "sent"));
    expect(listenersOf(bed.channel)).toBe(before);
  });
});
