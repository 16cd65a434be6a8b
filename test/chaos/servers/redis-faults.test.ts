import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPrivateServer } from "../../support/ladder.ts";
import { redis } from "../../support/services/redis.ts";
import type { ServerFault } from "../fault.ts";
import { askRedis } from "./ask-redis.ts";
import { buildClockShim, type ClockShim, underClock } from "./clock-shim.ts";
import { GREETINGS } from "./first-answer.ts";
import { type RedisNode, redisLockFaults } from "./redis-faults.ts";

const KEY = "exclaim:lock";

describe("faults of a redis lock node", () => {
  let shim: ClockShim;
  let node: RedisNode;

  beforeAll(async () => {
    shim = await buildClockShim();
    const clock = shim.clock();
    node = { name: "redis-1", server: await startPrivateServer(underClock(redis, clock)), greeting: GREETINGS.redis, clock };
  });

  afterAll(async () => {
    await node.server.stop();
    shim[Symbol.dispose]();
  });

  it.each([
    "redis killed and restarted empty",
    "redis killed, away for longer than a lease",
    "redis hung shortly",
    "redis flushed",
    "redis clock jumped ahead",
    "redis clock jumped back",
  ])("%s: is seen while it lasts, and not before or after", async (kind) => {
    const fault = faultOf(node, kind);

    const seen = [await fault.hasHit()];
    await fault.inject();
    seen.push(await fault.hasHit());
    await fault.heal();
    seen.push(await fault.hasHit());

    expect(seen).toEqual([false, true, false]);
    expect(await ask((client) => client.ping())).toBe("PONG");
  });

  it("a majority away at once is seen while all of it is, and all of it is back afterwards", async () => {
    const clock = shim.clock();
    const server = await startPrivateServer(underClock(redis, clock));
    const other: RedisNode = { name: "redis-2", server, greeting: GREETINGS.redis, clock };
    // Of three two are most: the third is not struck.
    const fault = redisLockFaults([node, other, node]).find(({ kind }) => kind.startsWith("most redis killed"));
    try {
      await other.server.kill();
      const seen = [await fault?.hasHit()];
      await fault?.inject();
      seen.push(await fault?.hasHit());
      await fault?.heal();
      seen.push(await fault?.hasHit());

      expect(fault).toMatchObject({ target: "redis-1+redis-2", breaksExclusion: true });
      expect(seen).toEqual([false, true, false]);
      expect(await askRedis(server.url, (client) => client.ping())).toBe("PONG");
      expect(await ask((client) => client.ping())).toBe("PONG");
    } finally {
      await server.stop();
    }
  });

  it("a reset of all connections does not hit where there are none", async () => {
    const fault = faultOf(node, "redis reset all connections");

    await fault.inject();

    expect(await fault.hasHit()).toBe(false);
  });

  it("a clock that jumps a minute ahead ends a lock of ten seconds at once, and stays there", async () => {
    const fault = faultOf(node, "redis clock jumped ahead");
    await ask((client) => client.set(KEY, "first", "PX", 10_000));
    const whileHeld = await ask((client) => client.set(KEY, "second", "PX", 10_000, "NX"));

    await fault.inject();

    expect(whileHeld).toBeNull();
    expect(await ask((client) => client.set(KEY, "second", "PX", 10_000, "NX"))).toBe("OK");
    await fault.heal();
    expect(await ask((client) => client.pttl(KEY))).toBeLessThanOrEqual(10_000);
  });

  it("a clock that jumps a minute back makes a lock last, until it is set right", async () => {
    const fault = faultOf(node, "redis clock jumped back");
    await ask((client) => client.set(KEY, "first", "PX", 10_000));

    await fault.inject();
    const whileBackMs = await ask((client) => client.pttl(KEY));
    await fault.heal();

    expect(whileBackMs).toBeGreaterThan(60_000);
    expect(await ask((client) => client.pttl(KEY))).toBeLessThanOrEqual(10_000);
  });

  function ask<T>(question: Parameters<typeof askRedis<T>>[1]): Promise<T> {
    return askRedis(node.server.url, question);
  }
});

function faultOf(node: RedisNode, kind: string): ServerFault {
  const fault = redisLockFaults([node]).find((candidate) => candidate.kind === kind);
  if (fault === undefined) throw new Error(`There is no fault ${kind}.`);
  return fault;
}
