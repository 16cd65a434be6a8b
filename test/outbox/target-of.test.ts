import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { MessageTarget, OutgoingMessage } from "../../src/outbox/target.ts";
import { type TargetSource, targetOf } from "../../src/outbox/target-of.ts";
import { messageOf } from "../conformance/target-conformance.ts";

/** Clients by their shape alone: what they do is the subject of the conformance suite. */
const queue = { name: "voucher", addBulk: async () => [], getJobCounts: async () => ({}) };
const plainChannel = {
  publish: () => true,
  sendToQueue: () => true,
  checkQueue: async () => ({ messageCount: 0 }),
  on: () => {},
  removeListener: () => {},
};
const channel = { ...plainChannel, waitForConfirms: async () => {} };

describe("targetOf", () => {
  it("tells a BullMQ queue, a confirm channel and a target apart", () => {
    const own: MessageTarget = { name: "own", chunkSize: 7, send: async (messages) => messages.map(() => "sent") };

    expect(targetOf(queue).name).toBe("BullMQ queue voucher");
    expect(targetOf(channel, { queue: "voucher" }).name).toBe("RabbitMQ queue voucher");
    expect(targetOf(channel, { exchange: "events" }).name).toBe("RabbitMQ exchange events");
    expect(targetOf(own)).toBe(own);
  });

  it("has a backlog for a queue, and none for an exchange", () => {
    expect(targetOf(channel, { queue: "voucher" }).backlog).toBeTypeOf("function");
    expect(targetOf(channel, { exchange: "events" }).backlog).toBeUndefined();
  });

  it("gives a function its messages, all of which are sent once it resolves", async () => {
    const given: OutgoingMessage[] = [];
    const messages = [messageOf(1), messageOf(2)];

    const target = targetOf(async function webhook(some) {
      given.push(...some);
    });

    expect(await target.send(messages)).toEqual(["sent", "sent"]);
    expect(given).toEqual(messages);
    expect([target.name, target.chunkSize]).toEqual(["the function webhook", 200]);
  });

  it("takes what a function throws for BROKER_UNREACHABLE, with its cause, but leaves an ExclaimError as it is", async () => {
    const cause = new Error("503");
    const own = new ExclaimError("CONFIG_INVALID", "no such webhook");
    const throwing = (error: unknown) => targetOf(() => Promise.reject(error)).send([messageOf(1)]);
    const throwingAtOnce = targetOf(() => {
      throw cause;
    });

    await expect(throwing(cause)).rejects.toMatchObject({ code: "BROKER_UNREACHABLE", cause });
    await expect(throwing(own)).rejects.toBe(own);
    await expect(throwingAtOnce.send([messageOf(1)])).rejects.toMatchObject({ code: "BROKER_UNREACHABLE", cause });
  });

  it.each([
    ["nothing", undefined, {}, /must be a BullMQ Queue/],
    ["null", null, {}, /must be a BullMQ Queue/],
    ["something else", { send: () => {} }, {}, /must be a BullMQ Queue/],
    ["a channel without a queue or an exchange", channel, {}, /pass `queue`/],
    ["a channel that does not confirm", plainChannel, { queue: "voucher" }, /createConfirmChannel/],
    ["options of RabbitMQ for a BullMQ queue", queue, { queue: "voucher" }, /`queue` is for RabbitMQ/],
    ["options of BullMQ for a channel", channel, { queue: "voucher", jobOptions: {} }, /`jobOptions` is for BullMQ/],
  ])("throws CONFIG_INVALID for %s, and says what to do", (_what, source, options, message) => {
    const make = () => targetOf(source as unknown as TargetSource, options);

    expect(make).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(make).toThrow(message);
  });
});
