import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { amqplibTarget } from "../../src/outbox/amqplib.ts";
import { codesOf, messageOf } from "../conformance/target-conformance.ts";
import { eventually } from "../support/eventually.ts";
import { type AmqplibBed, listenersOf, openAmqplibBed } from "./amqplib-beds.ts";

let bed: AmqplibBed;

beforeEach(async () => {
  bed = await openAmqplibBed();
  onTestFinished(() => bed.close());
});

const rows = (count: number) => Array.from({ length: count }, (_, row) => messageOf({ row }));
const thrownBy = (promise: Promise<unknown> | undefined): Promise<unknown> =>
  Promise.resolve(promise).then(
    () => "nothing",
    (error: unknown) => error,
  );

describe("a channel that closes", () => {
  // Planted: the close not heeded, so that each confirm that will never come counts as a nack.
  it("in mid-flight ends the wait with BROKER_UNREACHABLE, and its error ends no process", async () => {
    const before = listenersOf(bed.channel);
    const sending = thrownBy(bed.target.send(rows(50)));
    // Another user of the channel makes the broker close it. It comes after the messages, whose confirms may be on their way.
    const other = thrownBy(bed.channel.checkQueue("nowhere"));
    const later = thrownBy(bed.target.send(rows(50)));

    const error = {
      code: "BROKER_UNREACHABLE",
      message: expect.stringMatching(/did not confirm messages \(.*no queue 'nowhere'/),
    };
    expect([await sending, await later]).toContainEqual(expect.objectContaining(error));
    await other;
    expect(listenersOf(bed.channel)).toBe(before);
  });

  it("was closed before: BROKER_UNREACHABLE at once", async () => {
    await bed.channel.close();

    expect(await thrownBy(bed.target.send(rows(1)))).toMatchObject({ code: "BROKER_UNREACHABLE" });
    expect(await thrownBy(bed.target.backlog?.())).toMatchObject({ code: "BROKER_UNREACHABLE" });
  });

  it("over an exchange that is missing says so: CONFIG_INVALID", async () => {
    const target = amqplibTarget(bed.channel, { exchange: "nowhere" });

    const error = await thrownBy(target.send(rows(3)));

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(/exchange nowhere does not exist/) });
  });

  it("over the question for the backlog of a queue that is missing says so: CONFIG_INVALID", async () => {
    const target = amqplibTarget(bed.channel, { queue: "nowhere" });

    const error = await thrownBy(target.backlog?.());

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(/queue nowhere does not exist/) });
  });

  it("takes nothing from a second channel, which sends all again", async () => {
    const messages = rows(20);
    await bed.channel.close();
    expect(await thrownBy(bed.target.send(messages))).toMatchObject({ code: "BROKER_UNREACHABLE" });

    const channel = await bed.connection.createConfirmChannel();
    const answers = await amqplibTarget(channel, { queue: bed.queue }).send(messages);

    expect(codesOf(answers)).toEqual(messages.map(() => "sent"));
    expect(await bed.received()).toEqual(messages);
  });
});

describe("a broker that is slow or full", () => {
  // Planted: a nack taken for a confirm.
  it("a queue that is full and rejects: BROKER_UNREACHABLE, and the rest arrives once there is room", async () => {
    const queue = `${bed.queue}-full`;
    await bed.own.assertQueue(queue, { arguments: { "x-max-length": 2, "x-overflow": "reject-publish" } });
    onTestFinished(async () => {
      const cleaner = await bed.connection.createChannel().catch(() => undefined);
      await cleaner?.deleteQueue(queue);
    });
    const target = amqplibTarget(bed.channel, { queue });

    const error = await thrownBy(target.send(rows(5)));
    await bed.own.purgeQueue(queue);

    expect(error).toMatchObject({ code: "BROKER_UNREACHABLE", message: expect.stringMatching(/did not take [1-5] of 5/) });
    expect(await target.send(rows(1))).toEqual(["sent"]);
  });

  // Planted: `publish` returning false is not heeded.
  it("is not given more than it takes: what `publish` says is heeded", async () => {
    const messages = rows(200);
    // amqplib says false from 16 unwritten messages on, and not from 1,024.
    const channel = await bed.connection.createConfirmChannel({ highWaterMark: 16 });
    let published = 0;
    const publish = channel.publish.bind(channel);
    let isFull = false;
    let early = 0;
    channel.on("drain", () => {
      isFull = false;
    });
    channel.publish = (...args) => {
      if (isFull) early += 1;
      published += 1;
      isFull = !publish(...args);
      return !isFull;
    };
    let drains = 0;
    channel.on("drain", () => {
      drains += 1;
    });

    const answers = await amqplibTarget(channel, { queue: bed.queue }).send(messages);

    expect(codesOf(answers)).toEqual(messages.map(() => "sent"));
    expect(drains).toBeGreaterThan(0);
    expect({ early, published }).toEqual({ early: 0, published: 200 });
  });

  it("a confirm that comes too late harms nothing: the next call has answers of its own", async () => {
    const [late, next] = [messageOf({ row: 1 }), messageOf({ row: 2 })];
    bed.hang();
    expect(await thrownBy(bed.impatient.send([late]))).toMatchObject({ code: "BROKER_UNREACHABLE" });
    bed.proxy.heal();

    expect(await bed.target.send([next])).toEqual(["sent"]);
    await eventually(async () => expect(await bed.target.backlog?.()).toBe(2));
    expect(await bed.received()).toEqual([late, next]);
  });
});
