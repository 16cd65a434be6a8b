import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redis as redisLock } from "../../../src/lock/redis.ts";
import { redlock } from "../../../src/lock/redlock.ts";
import type { LockCommand } from "../../checker/history.ts";
import { eventually } from "../../support/eventually.ts";
import { startRedisNode } from "../../support/redis.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { LockMonitor } from "./lock-monitor.ts";

type Seen = readonly (readonly [did: string, owner: string, was: string | null])[];

describe("the monitor of a redis lock node", () => {
  let server: ServerProcess;
  let monitor: LockMonitor;
  let client: Redis;

  beforeAll(async () => {
    server = await startRedisNode();
    monitor = await LockMonitor.open("redis-1", server);
    client = new Redis(server.url);
    client.on("error", () => {});
    await client.ping();
  });

  afterAll(async () => {
    client.disconnect();
    monitor.close();
    await server.stop();
  });

  it.each([
    ["redis", () => redisLock(client)],
    ["redlock", () => redlock([client])],
  ])("tells who takes, extends and releases a lock of %s, and whose it was", async (name, open) => {
    const backend = open();
    const key = `exclaim:order:${name} "é"\n`;

    const { lease } = await backend.acquire(key, { ttlMs: 5_000, owner: "first" });
    await backend.acquire(key, { ttlMs: 5_000, owner: "second" });
    if (lease !== null) await backend.extend(lease);
    await backend.release({ key, owner: "second", ttlMs: 5_000 });
    if (lease !== null) await backend.release(lease);

    expect(await seen(key, 3)).toEqual([
      ["acquired", "first", null],
      ["extended", "first", "first"],
      ["released", "first", "first"],
    ]);
  });

  it("tells that somebody deleted another's lock", async () => {
    const key = "episode:exclaim:order:deleted";
    await redlock([client]).acquire(key, { ttlMs: 5_000, owner: "first" });

    await client.eval('return redis.call("DEL", KEYS[1])', 1, key, "second");

    expect(await seen(key, 2)).toEqual([
      ["acquired", "first", null],
      ["released", "second", "first"],
    ]);
  });

  it("goes on after the server was started again empty, and takes nothing from before for known", async () => {
    const key = "exclaim:order:restarted";
    await redlock([client]).acquire(key, { ttlMs: 60_000, owner: "first" });
    const before = await seen(key, 1);

    await server.kill();
    await server.restart();
    const after = await eventually(async () => {
      await client.set(key, "second", "PX", 60_000);
      const told = await seen(key, 0);
      return told.length > 0 && told.slice(0, 1);
    });

    expect(before).toEqual([["acquired", "first", null]]);
    expect(after).toEqual([["acquired", "second", null]]);
  });

  /** As soon as there are so many, each told once. */
  async function seen(key: string, count: number): Promise<Seen> {
    const commands: LockCommand[] = [];
    await eventually(async () => {
      // Whether the last of them came about shows when another follows.
      await client.ping();
      commands.push(...monitor.take().filter((command) => command.key === key));
      return commands.length >= count;
    });
    return commands.map(({ did, owner, was }) => [did, owner, was] as const);
  }
});
