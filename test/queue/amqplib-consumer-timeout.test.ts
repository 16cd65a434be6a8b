import { connect } from "amqplib";
import { expect, it } from "vitest";
import type { ExclaimError } from "../../src/errors.ts";
import { type AmqpDelivery, consume } from "../../src/queue/amqplib.ts";
import { eventually } from "../support/eventually.ts";
import { startRabbitmq } from "../support/rabbitmq.ts";
import { confirmed } from "./rabbit.ts";
import { ScriptedPool, untilAborted } from "./scripted-pool.ts";

// Planted: the close event not heard: the handler waited for ever, and the second delivery was never settled.
it("A11 aborts a claim that RabbitMQ has waited too long for, and serves its message again on a new channel", async () => {
  const server = await startRabbitmq();
  try {
    // Half an hour, looked at each minute, unless it is told otherwise; a channel reads both when it opens.
    await server.rabbitmqctl(
      "eval",
      "[application:set_env(rabbit, K, 1000) || K <- [consumer_timeout, channel_tick_interval]].",
    );
    const connection = await connect(server.url, { recovery: true });
    const errors: string[] = [];
    const reasons: ExclaimError[] = [];
    const redelivered: boolean[] = [];
    const consumer = await consume(
      connection,
      "slow",
      async ({ fields }: AmqpDelivery<object>, claim) => {
        redelivered.push(fields.redelivered);
        if (fields.redelivered) return;
        await untilAborted(claim.signal).catch((reason) => reasons.push(reason));
        throw claim.signal.reason;
      },
      { pool: new ScriptedPool("run"), claimant: () => "7", delaysMs: [50], onError: ({ message }) => errors.push(message) },
    );
    const producer = await connection.createConfirmChannel();

    await confirmed(producer, "slow", Buffer.from("{}"));
    await eventually(() => expect(redelivered).toEqual([false, true]), { timeoutMs: 20_000, what: "the second delivery" });
    await consumer.close();

    expect(reasons).toMatchObject([
      { code: "ABORTED", message: "the channel has closed: RabbitMQ delivers the message again" },
    ]);
    expect(errors).toEqual([expect.stringContaining("delivery acknowledgement")]);
    expect((await producer.checkQueue("slow")).messageCount).toBe(0);
    await connection.close();
  } finally {
    await server.stop();
  }
});
