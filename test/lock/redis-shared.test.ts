import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LockBackend, LockLease, LockMode } from "../../src/lock/lock.ts";
import { redis } from "../../src/lock/redis.ts";
import { eventually } from "../support/eventually.ts";
import { at, type RedisNodes, sharedNodes } from "./redis-nodes.ts";

let nodes: RedisNodes;
let client: Redis;
let lock: LockBackend;
let key: string;
beforeAll(async () => {
  nodes = await sharedNodes(1);
  client = at(await nodes.connect(), 0);
  // So that a machine busy with other tests is not taken for a server that does not answer.
  lock = redis(client, { callTimeoutMs: 5_000 });
});
afterAll(() => nodes[Symbol.asyncDispose]());
beforeEach(() => {
  key = randomUUID();
});

// Planted once and seen to fail: the key's end set by the newest reader instead of the last; no new end when the last reader leaves;
// readers that are never forgotten; a set that counts as free for a writer; a set without an end taken for ours.
describe("redis' shared mode on its server", () => {
  it("L8 keeps all readers under one key, each with its own end, so that a call never leaves its slot of a cluster", async () => {
    key = `{a}{b}}${key}{`;

    await take("reader 1", "shared", 30_000);
    await take("reader 2", "shared", 60_000);

    const ends = await readers();
    expect(Object.keys(ends).sort()).toEqual(["reader 1", "reader 2"]);
    expect((ends["reader 2"] ?? 0) - (ends["reader 1"] ?? 0)).toBeGreaterThan(29_000);
    expect(await client.keys(`*${key.slice(8, -1)}*`)).toEqual([key]);
  });

  it("L3 L8 the key ends with the last of its readers, whoever came last", async () => {
    await take("long", "shared", 60_000);
    await take("short", "shared", 5_000);

    const attempt = await ask("writer", "exclusive");

    expect(await client.pttl(key)).toBeGreaterThan(50_000);
    expect(attempt.lease === null && attempt.retryAfterMs).toBeGreaterThan(50_000);
    expect(attempt.lease === null && attempt.retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  it("L4 L8 when the last reader gives the key back early, a writer is told of the end of the one before", async () => {
    const long = await take("long", "shared", 60_000);
    await take("short", "shared", 5_000);

    await lock.release(long);

    const attempt = await ask("writer", "exclusive");
    expect(attempt.lease === null && attempt.retryAfterMs).toBeGreaterThan(0);
    expect(attempt.lease === null && attempt.retryAfterMs).toBeLessThanOrEqual(5_000);
  });

  it("L3 L8 a reader whose lease is over is forgotten, though others read on", async () => {
    const gone = await take("gone", "shared", 200);
    await take("kept", "shared", 60_000);
    await eventually(async () => (await serverNow()) > Number((await readers()).gone), { what: "the end of a lease" });

    const extended = await lock.extend(gone);
    const released = await lock.release(gone);
    await take("new", "shared", 60_000);

    expect([extended, released]).toEqual([false, false]);
    expect(Object.keys(await readers()).sort()).toEqual(["kept", "new"]);
  });

  it("L3 L8 one reader's extension keeps the key, and prolongs no other's lease", async () => {
    const one = await take("one", "shared", 30_000);
    await take("other", "shared", 30_000);
    const before = await readers();
    await eventually(async () => (await serverNow()) > Number(before.one) - 29_900, { what: "some time to pass" });

    const extended = await lock.extend({ ...one, ttlMs: 60_000 });

    const after = await readers();
    expect(extended).toBe(true);
    expect(after.other).toBe(before.other);
    expect((after.one ?? 0) - (before.one ?? 0)).toBeGreaterThan(29_000);
    expect(await client.pttl(key)).toBeGreaterThan(50_000);
  });

  it("L8 readers keep out programs that take the key by SET NX", async () => {
    await take("reader", "shared");

    const taken = await client.set(key, "another program", "PX", 60_000, "NX");

    expect(taken).toBeNull();
    expect(Object.keys(await readers())).toEqual(["reader"]);
  });

  it("L7 L8 the only reader may become the writer, and the writer a reader", async () => {
    const lease = await take("a", "shared");

    const writer = await ask("a", "exclusive");
    const shut = await ask("b", "shared");
    const reader = await ask("a", "shared");
    const open = await ask("b", "shared");

    expect([writer.lease?.owner, shut.lease, reader.lease?.mode, open.lease?.owner]).toEqual(["a", null, "shared", "b"]);
    expect(await lock.release(lease)).toBe(true);
    expect(Object.keys(await readers())).toEqual(["b"]);
  });

  it("L8 one reader of several does not become the writer", async () => {
    await take("a", "shared");
    await take("b", "shared");

    const attempt = await ask("a", "exclusive");

    expect(attempt.lease).toBeNull();
    expect(Object.keys(await readers()).sort()).toEqual(["a", "b"]);
  });

  it.each(["exclusive", "shared"] as const)(
    "L4 L8 a foreign sorted set is contention of unknown length, and stays: %s",
    async (mode) => {
      await client.zadd(key, 1, "a member");

      const attempt = await ask("a", mode);
      const followed = [
        await lock.extend({ key, owner: "a", ttlMs: 60_000 }),
        await lock.release({ key, owner: "a", ttlMs: 60_000 }),
      ];

      expect(attempt).toEqual({ lease: null, retryAfterMs: 0 });
      expect(followed).toEqual([false, false]);
      expect(await client.zrange(key, 0, -1, "WITHSCORES")).toEqual(["a member", "1"]);
    },
  );
});

function ask(owner: string, mode: LockMode, ttlMs = 60_000) {
  return lock.acquire(key, { ttlMs, owner, mode });
}

async function take(owner: string, mode: LockMode, ttlMs = 60_000): Promise<LockLease> {
  const { lease } = await ask(owner, mode, ttlMs);
  if (lease === null) throw new Error("the key is held");
  return lease;
}

/** When whose lease ends, in ms of the server's time. */
async function readers(): Promise<Record<string, number>> {
  const flat = await client.zrange(key, 0, -1, "WITHSCORES");
  return Object.fromEntries(flat.flatMap((owner, index) => (index % 2 === 0 ? [[owner, Number(flat[index + 1])]] : [])));
}

async function serverNow(): Promise<number> {
  const [seconds = 0, microseconds = 0] = await client.time();
  return seconds * 1_000 + microseconds / 1_000;
}
