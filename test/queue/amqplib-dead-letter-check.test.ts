import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { assertDeadLetterTarget } from "../../src/queue/amqplib-dead-letter-check.ts";
import { declareTopology } from "../../src/queue/amqplib-topology.ts";
import { AMQPLIBS, ScratchQueues } from "./amqplib-scratch-queues.ts";

// Planted once and seen to fail here: asked on the user's channel; the exchange not looked for; a missing routing key taken for a target;
// what is not told taken for no exchange.

describe.each(AMQPLIBS)("assertDeadLetterTarget with %s", (_name, amqp) => {
  let scratch: ScratchQueues;
  let openBefore: number;

  beforeAll(async () => {
    scratch = await ScratchQueues.open(amqp);
  });

  afterAll(async () => {
    await scratch.close();
  });

  beforeEach(() => {
    openBefore = scratch.openChannels();
  });

  afterEach(async () => {
    expect(scratch.openChannels()).toBe(openBefore);
    expect(await scratch.isUsable()).toBe(true);
  });

  /** What is wrong with a queue, or undefined. */
  async function wrongWith(queue: string): Promise<unknown> {
    return assertDeadLetterTarget(scratch.channel, queue).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  it.each(["quorum", "classic"] as const)("agrees to what declareTopology declares as %s queues", async (queueType) => {
    const queue = scratch.name();
    const topology = await declareTopology(scratch.channel, queue, { queueType, delaysMs: [250] });
    for (const name of [topology.deadLetterQueue, `${queue}.retry.250`]) scratch.named(name);

    expect(await wrongWith(queue)).toBeUndefined();
  });

  it.each([
    ["quorum", { "x-queue-type": "quorum" }, {}],
    ["classic", {}, {}],
    ["transient, with other arguments", { "x-expires": 600_000, "x-max-length": 5 }, { durable: false, autoDelete: true }],
    ["exclusive", { "x-message-ttl": 60_000 }, { exclusive: true }],
  ])("agrees to a queue with an exchange that exists, and not to one without: %s", async (_case, args, options) => {
    const target = { "x-dead-letter-exchange": "amq.fanout" };
    const queue = await scratch.declare(scratch.name(), { ...args, ...target }, options);
    const bare = await scratch.declare(scratch.name(), args, options);

    expect(await wrongWith(queue)).toBeUndefined();
    expect(await wrongWith(bare)).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(
        /it has no dead-letter exchange.*declareTopology.*deadLetter: "policy".*deadLetter: "discard"/,
      ),
    });
  });

  it("does not agree to an exchange that does not exist", async () => {
    const exchange = `none-${randomUUID()}`;
    const queue = await scratch.declare(scratch.name(), { "x-dead-letter-exchange": exchange });

    expect(await wrongWith(queue)).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`its dead-letter exchange ${exchange} does not exist`),
    });
  });

  it("agrees to the default exchange with the name of a queue that exists", async () => {
    const dead = await scratch.declare(scratch.name("it's"));
    const target = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead };
    const queue = await scratch.declare(scratch.name(), target);

    expect(await wrongWith(queue)).toBeUndefined();
  });

  it("does not agree to the default exchange with the name of no queue, of the queue itself, or without a name", async () => {
    const missing = scratch.name();
    const lost = scratch.name();
    const circular = scratch.name();
    const unnamed = scratch.name();
    await scratch.declare(lost, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": missing });
    await scratch.declare(circular, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": circular });
    await scratch.declare(unnamed, { "x-dead-letter-exchange": "" });

    const messages = [await wrongWith(lost), await wrongWith(circular), await wrongWith(unnamed)].map(
      (error) => (error as Error).message,
    );

    expect(messages[0]).toContain(`its dead letters go to the queue ${missing}, which does not exist`);
    expect(messages[1]).toContain("its dead letters go back to itself");
    expect(messages[2]).toContain("without x-dead-letter-routing-key a message keeps its own key");
    expect(await scratch.exists(missing)).toBe(false);
  });

  it("says that a queue is missing, and does not create it", async () => {
    const queue = scratch.name();

    const wrong = await wrongWith(queue);

    expect(wrong).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(`${queue} does not exist`) });
    expect(await scratch.exists(queue)).toBe(false);
  });

  it("lets pass what it cannot be told: the answer is cut off, or asking is refused", async () => {
    const long = await scratch.declare(scratch.name("-long".repeat(40)), { "x-message-ttl": 60_000 });
    // Nobody may declare a queue of such a name again, which the broker has chosen.
    const { queue: refused } = await scratch.channel.assertQueue("", { exclusive: true });

    expect(await wrongWith(long)).toBeUndefined();
    expect(await wrongWith(refused)).toBeUndefined();
  });

  it("lets pass a queue that another connection keeps for itself, which cannot be consumed anyway", async () => {
    const other = await ScratchQueues.open(amqp);
    const queue = await other.declare(scratch.name(), {}, { exclusive: true });

    const wrong = await wrongWith(queue);
    await other.close();

    expect(wrong).toBeUndefined();
  });

  it("throws what amqplib throws when the connection is gone", async () => {
    const other = await ScratchQueues.open(amqp);
    await other.connection.close();

    const failure = await assertDeadLetterTarget(other.channel, "q").catch((error: unknown) => error);

    expect(failure).toBeInstanceOf(Error);
    expect(failure).not.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
