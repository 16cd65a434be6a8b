import type { Channel, GetMessage } from "amqplib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { declareTopology, delayQueueOf, type TopologyOptions } from "../../src/queue/amqplib-topology.ts";
import { eventually } from "../support/eventually.ts";
import { AMQPLIBS, ScratchQueues } from "./amqplib-scratch-queues.ts";

// Planted once and seen to fail here: declared on the user's channel; delay queues first; channels left open; the first queue that
// differs ends the declaring; a refused dead-letter queue does not keep the work queue from being created.

let scratch: ScratchQueues;

beforeEach(async () => {
  scratch = await ScratchQueues.open();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await scratch.close();
});

const SHORT: TopologyOptions = { delaysMs: [250, 300] };

/** A work queue's name; whatever is declared for it is deleted at the end. */
function workQueue(): string {
  const queue = scratch.name();
  for (const suffix of ["dead", "retry.250", "retry.300", "retry.500"]) scratch.named(`${queue}.${suffix}`);
  for (const delayMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]) scratch.named(`${queue}.retry.${delayMs}`);
  return queue;
}

async function failureOf(declaring: Promise<unknown>): Promise<unknown> {
  return declaring.then(
    () => "it was declared",
    (error: unknown) => error,
  );
}

/** What `channel.get` gives once there is a message. */
function nextOf(queue: string, channel: Channel = scratch.channel): Promise<GetMessage> {
  return eventually(() => channel.get(queue, { noAck: false }), { what: `a message in ${queue}` });
}

describe.each(AMQPLIBS)("declareTopology with %s", (_name, amqp) => {
  let ours: ScratchQueues;

  beforeEach(async () => {
    ours = await ScratchQueues.open(amqp);
  });

  afterEach(async () => {
    await ours.close();
  });

  it("declares a work queue, eight delay queues and a dead-letter queue, again without a change", async () => {
    const queue = workQueue();

    const first = await declareTopology(ours.channel, queue);
    const second = await declareTopology(ours.channel, queue);

    expect(first.deadLetterQueue).toBe(`${queue}.dead`);
    expect(first.delayQueues.map(({ delayMs }) => delayMs)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
    expect(first.delayQueues[0]?.name).toBe(`${queue}.retry.250`);
    expect(second).toEqual(first);
    for (const { name } of first.delayQueues) expect(await ours.exists(name)).toBe(true);
  });

  it("A2 leaves the user's channel as it is, and none of its own open, whether it succeeds or not", async () => {
    const queue = workQueue();
    await ours.declare(queue, { "x-max-length": 5 });
    const before = ours.openChannels();

    const failure = await failureOf(declareTopology(ours.channel, queue, SHORT));
    await declareTopology(ours.channel, workQueue(), SHORT);

    expect(failure).toMatchObject({ code: "CONFIG_INVALID" });
    expect(ours.openChannels()).toBe(before);
    expect(await ours.isUsable()).toBe(true);
  });
});

describe("declareTopology", () => {
  it.each(["quorum", "classic"] as const)(
    "A7 brings a message of a %s delay queue back to the work queue",
    async (queueType) => {
      const queue = workQueue();
      const { delayQueues } = await declareTopology(scratch.channel, queue, { ...SHORT, queueType });

      for (const { name } of delayQueues) scratch.channel.sendToQueue(name, Buffer.from(name), { persistent: true });
      const back = [await nextOf(queue), await nextOf(queue)];

      expect(back.map(({ content }) => content.toString())).toEqual([`${queue}.retry.250`, `${queue}.retry.300`]);
      expect(back[0]?.fields).toMatchObject({ exchange: "", routingKey: queue });
      expect(back[0]?.properties.headers?.["x-death"]).toMatchObject([
        { reason: "expired", queue: `${queue}.retry.250`, count: 1 },
      ]);
    },
  );

  it.each(["quorum", "classic"] as const)(
    "puts what a %s work queue gives up into the dead-letter queue",
    async (queueType) => {
      const queue = workQueue();
      const deadLetterQueue = scratch.named(`${queue}.lost`);
      await declareTopology(scratch.channel, queue, { ...SHORT, queueType, deadLetterQueue });

      scratch.channel.sendToQueue(queue, Buffer.from("x"));
      scratch.channel.nack(await nextOf(queue), false, false);
      const dead = await nextOf(deadLetterQueue);

      expect(dead.properties.headers?.["x-death"]).toMatchObject([{ reason: "rejected", queue }]);
    },
  );

  it("A9 dead-letters a message after its consumer died and it was handed out again as often as deliveryLimit says", async () => {
    const queue = workQueue();
    const { deadLetterQueue } = await declareTopology(scratch.channel, queue, { ...SHORT, deliveryLimit: 2 });
    scratch.channel.sendToQueue(queue, Buffer.from("x"));

    const counts: unknown[] = [];
    for (let died = 0; died < 3; died += 1) {
      const consumer = await scratch.connection.createChannel();
      const { properties } = await nextOf(queue, consumer);
      counts.push(properties.headers?.["x-delivery-count"] ?? 0);
      await consumer.close();
    }
    const dead = await nextOf(deadLetterQueue);

    expect(counts).toEqual([0, 1, 2]);
    expect(dead.properties.headers?.["x-death"]).toMatchObject([{ reason: "delivery_limit", queue }]);
  });

  it("declares each queue before the first that points at it", async () => {
    const queue = workQueue();
    const declared = vi.spyOn(Object.getPrototypeOf(scratch.channel), "assertQueue");

    await declareTopology(scratch.channel, queue, SHORT);

    const names = declared.mock.calls.map(([name]) => name);
    expect(names).toEqual([`${queue}.dead`, queue, `${queue}.retry.250`, `${queue}.retry.300`]);
  });

  it("creates no queue that would point at one which the broker refuses to create", async () => {
    const queue = workQueue();
    // Scripted, for this one question: a refusal for want of permission.
    const refusal =
      'Operation failed: QueueDeclare; 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - configure access refused"';
    vi.spyOn(Object.getPrototypeOf(scratch.channel), "assertQueue").mockRejectedValueOnce(
      Object.assign(new Error(refusal), { code: 403 }),
    );

    const failure = await failureOf(declareTopology(scratch.channel, queue, SHORT));

    expect(failure).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`- ${queue}.dead: the broker refuses it: ACCESS_REFUSED - configure access refused\n`),
    });
    expect(await scratch.exists(queue)).toBe(false);
    expect(await scratch.exists(`${queue}.retry.250`)).toBe(false);
  });

  it("declares them from five channels at once", async () => {
    const queue = workQueue();
    const others = await Promise.all([ScratchQueues.open(), ScratchQueues.open()]);
    const second = await scratch.connection.createChannel();
    const third = await scratch.connection.createChannel();
    const channels = [scratch.channel, second, third, ...others.map(({ channel }) => channel)];

    const topologies = await Promise.all(channels.map((channel) => declareTopology(channel, queue, SHORT)));
    await Promise.all(others.map((other) => other.close()));

    expect(new Set(topologies.map(({ deadLetterQueue }) => deadLetterQueue))).toEqual(new Set([`${queue}.dead`]));
    expect(await scratch.exists(`${queue}.retry.300`)).toBe(true);
  });

  it("names every queue that differs and every argument, and declares the others", async () => {
    const queue = workQueue();
    await scratch.declare(queue, { "x-queue-type": "quorum", "x-dead-letter-exchange": "e", "x-max-length": 5 });
    await scratch.declare(`${queue}.retry.250`, { "x-queue-type": "quorum", "x-message-ttl": 999 });
    await scratch.declare(`${queue}.dead`, {}, { durable: false });

    const failure = await failureOf(declareTopology(scratch.channel, queue, { ...SHORT, arguments: { "x-max-length": 6 } }));

    const { message } = failure as Error;
    const lines = message.split("\n").filter((line) => line.startsWith("- "));
    expect(failure).toMatchObject({ code: "CONFIG_INVALID" });
    expect(lines.map((line) => line.replaceAll(queue, "Q"))).toEqual([
      '- Q.dead: durable: have false, want true; x-queue-type: have "classic", want "quorum"',
      '- Q: x-dead-letter-exchange: have "e", want ""; x-dead-letter-routing-key: have none, want "Q.dead"; ' +
        'x-dead-letter-strategy: have none, want "at-least-once"; x-delivery-limit: have none, want 100; ' +
        'x-max-length: have 5, want 6; x-overflow: have none, want "reject-publish"',
      '- Q.retry.250: x-dead-letter-exchange: have none, want ""; x-dead-letter-routing-key: have none, want "Q"; ' +
        'x-dead-letter-strategy: have none, want "at-least-once"; x-message-ttl: have 999, want 250; ' +
        'x-overflow: have none, want "reject-publish"',
    ]);
    expect(await scratch.exists(`${queue}.retry.300`)).toBe(true);
  });

  it("names a queue that another connection keeps for itself, and one whose arguments the broker does not take", async () => {
    const locked = workQueue();
    const odd = workQueue();
    const other = await ScratchQueues.open();
    await other.declare(locked, {}, { exclusive: true });

    const lock = await failureOf(declareTopology(scratch.channel, locked, SHORT));
    const argument = await failureOf(
      declareTopology(scratch.channel, odd, { ...SHORT, arguments: { "x-max-length": "many" } }),
    );
    await other.close();

    expect(lock).toMatchObject({
      message: expect.stringContaining(`- ${locked}: exclusive: have true, want false; and maybe more`),
    });
    expect(argument).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`- ${odd}: the broker refuses it: PRECONDITION_FAILED - invalid arg 'x-max-length'`),
    });
  });

  it("takes a classic queue that was declared without a type", async () => {
    const queue = workQueue();
    await scratch.declare(`${queue}.dead`);
    await scratch.declare(queue, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": `${queue}.dead` });

    const topology = await declareTopology(scratch.channel, queue, { ...SHORT, queueType: "classic" });

    expect(topology.queue).toBe(queue);
  });

  it("throws what amqplib throws when the connection is gone", async () => {
    const other = await ScratchQueues.open();
    await other.connection.close();

    const failure = await failureOf(declareTopology(other.channel, workQueue(), SHORT));

    expect(failure).toBeInstanceOf(Error);
    expect(failure).not.toMatchObject({ code: "CONFIG_INVALID" });
  });
});

describe("delayQueueOf", () => {
  it("is what declareTopology declares, so that it may be declared on first use", async () => {
    const queue = workQueue();
    await declareTopology(scratch.channel, queue, SHORT);
    const { name, options } = delayQueueOf(queue, 300, "quorum");

    await scratch.channel.assertQueue(name, { ...options });

    expect(await scratch.isUsable()).toBe(true);
  });
});
