import { assert, constantFrom, property, string, tuple, uniqueArray } from "fast-check";
import { describe, expect, it } from "vitest";
import type { AmqpChannel } from "../../src/queue/amqplib-channel.ts";
import { DEFAULT_DELAYS_MS, declareTopology, delayQueueOf, type TopologyOptions } from "../../src/queue/amqplib-topology.ts";

// Planted once and seen to fail here: nothing between the queue and the delay in a name; line breaks let pass.

/** No channel at all: what is wrong is said before one is used. */
const UNTOUCHED = {} as AmqpChannel;

describe("declareTopology", () => {
  it.each([
    ["the type is unknown", { queueType: "stream" }, "queueType"],
    ["there are no delays", { delaysMs: [] }, "delaysMs"],
    ["there are too many delays", { delaysMs: Array.from({ length: 33 }, (_, index) => index + 1) }, "delaysMs"],
    ["a delay is zero", { delaysMs: [0] }, "delaysMs"],
    ["a delay is a part of one", { delaysMs: [1.5] }, "delaysMs"],
    ["a delay is longer than a day", { delaysMs: [86_400_001] }, "delaysMs"],
    ["the delays are no list", { delaysMs: 250 }, "delaysMs"],
    ["the limit is zero", { deliveryLimit: 0 }, "deliveryLimit"],
    ["the limit is -1, which not all versions take for unlimited", { deliveryLimit: -1 }, "deliveryLimit"],
    ["a limit is given for classic queues", { queueType: "classic", deliveryLimit: 5 }, "deliveryLimit"],
    ["the dead-letter queue is the work queue", { deadLetterQueue: "q" }, "deadLetterQueue"],
    ["the dead-letter queue is a delay queue", { deadLetterQueue: "q.retry.250" }, "deadLetterQueue"],
    ["an argument contradicts ours", { arguments: { "x-dead-letter-exchange": "mine" } }, "x-dead-letter-exchange"],
    ["an argument contradicts the type", { arguments: { "x-queue-type": "classic" } }, "x-queue-type"],
    ["an argument contradicts the limit", { arguments: { "x-delivery-limit": 7 } }, "x-delivery-limit"],
    ["an argument is a function", { arguments: { "x-max-length": () => 5 } }, "x-max-length"],
    ["the arguments are a list", { arguments: ["x-max-length"] }, "arguments"],
  ])("refuses at once when %s", async (_case, options, named) => {
    const failure = await declareTopology(UNTOUCHED, "q", options as TopologyOptions).catch((error: unknown) => error);

    expect(failure).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(named) });
  });

  it.each([
    ["empty", ""],
    ["reserved", "amq.mine"],
    ["broken over two lines", "a\nb"],
    ["half a character", "a\uD83D"],
    ["too long with what is added", `${"é".repeat(122)}`],
  ])("refuses a name that is %s", async (_case, name) => {
    const failure = await declareTopology(UNTOUCHED, name).catch((error: unknown) => error);

    expect(failure).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("declareTopology: the") });
  });
});

describe("delayQueueOf", () => {
  it("gives no two queues or delays one name", () => {
    const part = string({ unit: constantFrom("a", ".", "retry", ".retry.", "2", "50", "0") });
    const pairs = uniqueArray(tuple(part, constantFrom(2, 5, 50, 250, 5_000)), {
      minLength: 2,
      selector: (pair) => pair.join("\0"),
    });

    assert(
      property(pairs, (distinct) => {
        const names = distinct.map(([queue, delayMs]) => delayQueueOf(queue, delayMs, "quorum").name);
        expect(new Set(names).size).toBe(distinct.length);
      }),
    );
  });

  it("waits by the steps that are documented", () => {
    expect(DEFAULT_DELAYS_MS).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
  });
});
