import { describe, expect, it } from "vitest";
import { brokerOf } from "../../src/cli/demo.ts";

const RUN = { prefix: "exclaim_demo_1", databaseUrl: "postgres://db", schemas: { queue: "exclaim_demo_1_queue" } };
const AMQP_URL = "amqp://broker";
const REDIS_URL = "redis://redis";

describe("the demo's broker", () => {
  it("is RabbitMQ where AMQP_URL is set, also when REDIS_URL is", () => {
    const rabbitmq = { kind: "rabbitmq", url: AMQP_URL };

    expect(brokerOf({ AMQP_URL }, RUN)).toEqual(rabbitmq);
    expect(brokerOf({ AMQP_URL, REDIS_URL }, RUN)).toEqual(rabbitmq);
  });

  it("is BullMQ on Redis where only REDIS_URL is set", () => {
    expect(brokerOf({ AMQP_URL: "", REDIS_URL }, RUN)).toEqual({ kind: "redis", url: REDIS_URL, prefix: "exclaim_demo_1" });
  });

  it("is BullMQ on the database otherwise", () => {
    const postgres = { kind: "postgres", url: "postgres://db", schema: "exclaim_demo_1_queue" };

    expect(brokerOf({ AMQP_URL: "", REDIS_URL: "" }, RUN)).toEqual(postgres);
  });
});
