import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect } from "amqplib";
import { describe, expect, it } from "vitest";
import { DEFAULT_DELAYS_MS } from "../../src/queue/amqplib-topology.ts";
import { freshDatabase } from "../support/postgres.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { startRedisNode } from "../support/redis.ts";
import { ROOT } from "../support/source-files.ts";

const run = promisify(execFile);

describe("the examples", () => {
  it("bullmq-worker serves each user once, and a doubled message with the same voucher", async () => {
    const [database, redis] = await Promise.all([freshDatabase(), startRedisNode()]);

    try {
      const lines = await runExample("bullmq-worker.ts", { DATABASE_URL: database.url, REDIS_URL: redis.url });

      expect(lines).toHaveLength(4);
      expect(lines[0]).toMatch(/^user 1 has CODE-\d+$/);
      expect(lines[1]).toBe(lines[0]);
      expect(new Set(lines).size).toBe(3);
    } finally {
      await Promise.all([database.drop(), redis.stop()]);
    }
  });

  it("rabbitmq-consumer serves each user once, and answers a doubled message with what was stored", async () => {
    const database = await freshDatabase();
    const queue = `example-${randomUUID()}`;

    try {
      const lines = await runExample("rabbitmq-consumer.ts", {
        DATABASE_URL: database.url,
        AMQP_URL: rabbitmqUrl(),
        QUEUE: queue,
      });

      expect(lines.sort().map((line) => line.replace(/CODE-\d+$/, "CODE"))).toEqual([
        "user 1 has CODE",
        "user 2 has CODE",
        "user 3 has CODE",
      ]);
      expect(new Set(lines.map((line) => line.split(" ").at(-1))).size).toBe(3);
    } finally {
      await Promise.all([database.drop(), deleteQueues(queue)]);
    }
  });

  it("bulk-import accounts for every row, and mails each who has a voucher once", async () => {
    const [database, redis, folder] = await Promise.all([
      freshDatabase(),
      startRedisNode(),
      mkdtemp(join(tmpdir(), "exclaim-example-")),
    ]);
    const file = join(folder, "employees.csv");
    await writeFile(
      file,
      "id,name,email\n1,Ada,ada@example.com\n2,Bob,\n3,Cleo,cleo@example.com\n1,Ada,ada@example.com\n4,Dan,d@example.com\n",
    );

    try {
      const lines = await runExample("bulk-import.ts", { DATABASE_URL: database.url, REDIS_URL: redis.url }, [file]);

      expect(lines).toEqual([
        "published: 5 rows, 1 rejected",
        "line 2: claimed",
        "line 3: rejected, no address to write to",
        "line 4: claimed",
        "line 5: duplicated, its key is that of line 2",
        "line 6: claimed",
        "3 mails for 3 vouchers",
      ]);
    } finally {
      await Promise.all([database.drop(), redis.stop(), rm(folder, { recursive: true })]);
    }
  });

  it("without-a-queue claims, replays, picks and refuses", async () => {
    const database = await freshDatabase();

    try {
      const [line] = await runExample("without-a-queue.ts", { DATABASE_URL: database.url });

      expect(JSON.parse(line ?? "")).toEqual([
        { status: "completed", result: "A1" },
        { status: "replayed", result: "A1" },
        { status: "completed", result: "A3" },
        { status: "taken" },
      ]);
    } finally {
      await database.drop();
    }
  });
});

/** Runs an example as a user would, against the built package, and returns the lines it printed. */
async function runExample(name: string, env: Record<string, string>, args: readonly string[] = []): Promise<string[]> {
  const { stdout } = await run(process.execPath, ["--import", "tsx", `examples/${name}`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    timeout: 60_000,
  });
  return stdout.trim().split("\n");
}

/** What the example has declared. */
async function deleteQueues(queue: string): Promise<void> {
  const connection = await connect(rabbitmqUrl());
  const channel = await connection.createChannel();
  for (const suffix of ["", ".dead", ...DEFAULT_DELAYS_MS.map((delayMs) => `.retry.${delayMs}`)]) {
    await channel.deleteQueue(`${queue}${suffix}`);
  }
  await connection.close();
}
