import { randomBytes } from "node:crypto";
import { connect } from "amqplib";
import { Queue } from "bullmq";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Interrupted } from "../../src/cli/exit-codes.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { redisUrl } from "../support/redis.ts";
import { type LineOptions, runLine } from "./run-line.ts";

const PARKED = "11111111-1111-4111-8111-111111111111";
const WAITING = "22222222-2222-4222-8222-222222222222";

let database: LedgerDatabase;
beforeAll(async () => {
  database = await ledgerDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.sql.query("truncate exclaim.outbox");
  await database.sql.query(
    `insert into exclaim.outbox (id, pool, scope, claimant, token, topic, payload, attempts, parked_at, reason) values
      ($1, 'public.voucher_item', '{}', '4711', 1, 'voucher.assigned', '{"code":"SECRET-VOUCHER"}', 5, now(), 'no such queue'),
      ($2, 'public.voucher_item', '{}', '4712', 1, 'voucher.assigned', '{"code":"CODE-2"}', 0, null, null)`,
    [PARKED, WAITING],
  );
});

describe("exclaim outbox status and retry", () => {
  it("O counts what waits and is parked, and says why, without a payload", async () => {
    const text = await line(["outbox", "status"]);
    const json = await line(["outbox", "status", "--json"]);

    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^waiting +1: 1 due, the oldest for \d+\.\d s\nparked +1\nsent +0\n/);
    expect(text.stdout).toMatch(new RegExp(`${PARKED} +voucher.assigned +pool public.voucher_item 4711 +5 .*no such queue`));
    expect(JSON.parse(json.stdout)).toMatchObject({
      waiting: 1,
      parked: 1,
      sent: 0,
      parkedMessages: [{ id: PARKED, attempts: 5 }],
    });
    expect(text.stdout + json.stdout).not.toContain("SECRET-VOUCHER");
  });

  it("O retries what is named, or all, and exits with 1 where something named is not parked", async () => {
    const some = await line(["outbox", "retry", PARKED, WAITING]);
    const none = await line(["outbox", "retry", "--all", "--json"]);
    const status = await line(["outbox", "status", "--json"]);

    expect(some).toMatchObject({
      code: 1,
      stdout: "1 parked messages wait to be sent again\n",
      stderr: expect.stringContaining("1 of"),
    });
    expect(none).toMatchObject({ code: 0, stdout: '{"retried":0}\n' });
    expect(JSON.parse(status.stdout)).toMatchObject({ waiting: 2, due: 2, parked: 0, parkedMessages: [] });
  });
});

describe("exclaim outbox dispatch", () => {
  it("O sends what waits to a BullMQ queue and ends with --drain", async () => {
    const prefix = `exclaim-${randomBytes(6).toString("hex")}`;
    const queue = new Queue("mails", { connection: { url: redisUrl() }, prefix });
    const env = { DATABASE_URL: database.url, REDIS_URL: redisUrl() };

    try {
      const { code } = await line(["outbox", "dispatch", "--queue", "mails", "--prefix", prefix, "--drain"], { env });

      expect(code).toBe(0);
      expect(await queue.getJob(WAITING)).toMatchObject({ name: "voucher.assigned", data: { code: "CODE-2" } });
      expect(await queue.getJobCountByTypes("waiting")).toBe(1);
    } finally {
      await queue.obliterate({ force: true });
      await queue.close();
    }
  });

  // Planted: 0 however it ended.
  it("O ends with the signal's code when --drain is interrupted before the outbox is drained", async () => {
    const interrupt = new AbortController();
    const env = { DATABASE_URL: database.url, AMQP_URL: rabbitmqUrl() };

    const { code } = await line(["outbox", "dispatch", "--exchange", "amq.fanout", "--drain"], {
      env,
      signal: interrupt.signal,
      onStderr: (text) => text.includes("sending to") && interrupt.abort(new Interrupted("SIGTERM")),
    });

    expect(code).toBe(143);
  });

  it("O sends to RabbitMQ until it is interrupted, with code 0", async () => {
    const connection = await connect(rabbitmqUrl());
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    const interrupt = new AbortController();
    const env = { DATABASE_URL: database.url, AMQP_URL: rabbitmqUrl() };
    const received = new Promise<string>((resolve) => {
      void channel.consume(queue, (message) => resolve(message?.properties.messageId), { noAck: true });
    });

    try {
      const dispatching = line(["outbox", "dispatch", "--queue", queue], { env, signal: interrupt.signal });
      const id = await received;
      interrupt.abort(new Error("interrupted"));

      expect(id).toBe(WAITING);
      expect((await dispatching).code).toBe(0);
    } finally {
      await connection.close();
    }
  });

  // Planted: nobody listens for the end of the connection.
  it("O ends with 3 when its connection to RabbitMQ is gone, so that whoever runs it starts it anew", async () => {
    const proxy = await startCutProxy(rabbitmqUrl());
    const env = { DATABASE_URL: database.url, AMQP_URL: proxy.url };

    const { code, stderr } = await line(["outbox", "dispatch", "--exchange", "amq.fanout"], {
      env,
      onStderr: (text) => text.includes("until it is interrupted") && proxy.cut(),
    });

    expect(code).toBe(3);
    expect(stderr).toContain("BROKER_UNREACHABLE: the connection to AMQP_URL has broken");
    await proxy.close();
  });
});

function line(args: readonly string[], options: LineOptions = {}) {
  return runLine(args, { env: { DATABASE_URL: database.url }, ...options });
}
