import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RedisLockOptions, redis } from "../../src/lock/redis.ts";
import type { RedisClient } from "../../src/lock/redis-client.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { at, executions, privateNodes, type RedisNodes, sharedNodes } from "./redis-nodes.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 5_000 };

let nodes: RedisNodes;
let client: Redis;
beforeAll(async () => {
  nodes = await sharedNodes(1);
  client = at(await nodes.connect(), 0);
});
afterAll(() => nodes[Symbol.asyncDispose]());

describe("redis' configuration", () => {
  const unconnected = new Redis({ lazyConnect: true });
  const cluster = { isCluster: true, evalsha: async () => 0, eval: async () => 0, wait: async () => 0 };
  const WRONG: readonly (readonly [what: string, create: () => unknown, message: RegExp])[] = [
    ["no client", () => redis(undefined as unknown as RedisClient), /needs an ioredis client/],
    ["a client of another library", () => redis({ evalSha: 1 } as unknown as RedisClient), /needs an ioredis client/],
    ["a subscriber that is none", () => redis(unconnected, { subscriber: {} as Redis }), /client as its subscriber/],
    ["one client for both", () => redis(unconnected, { subscriber: unconnected }), /client\.duplicate\(\)/],
    ["no time for a call", () => redis(unconnected, { callTimeoutMs: 0 }), /callTimeoutMs is a positive number of ms, not 0/],
    ["no replicas", () => redis(unconnected, { replicas: { count: 0, timeoutMs: 1 } }), /replicas\.count/],
    ["half a ms for replicas", () => redis(unconnected, { replicas: { count: 1, timeoutMs: 0.5 } }), /replicas\.timeoutMs/],
    ["replicas in a cluster", () => redis(cluster, { replicas: { count: 1, timeoutMs: 1 } }), /cluster/],
  ];

  it.each(WRONG)("refuses %s and says what to do", (_what, create, message) => {
    expect(create).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(message) }));
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses a ttl of %s ms", async (ttlMs) => {
    await expect(redis(client).acquire("order:1", { ttlMs, owner: "a" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("says that it can wake waiters only with a connection to listen on", () => {
    const [without, with_] = [redis(client), redis(client, { subscriber: unconnected })];

    expect([without.capabilities.push, with_.capabilities.push]).toEqual([false, true]);
    expect([typeof without.watch, typeof with_.watch]).toEqual(["undefined", "function"]);
  });

  it("leaves the clients open and without listeners of its own", async () => {
    const [own, subscriber] = await Promise.all([nodes.connect(), nodes.connect()]).then((lists) => lists.flat());
    const clients = [own, subscriber] as [Redis, Redis];
    const listeners = () => clients.map((one) => one.eventNames().map((name) => [name, one.listenerCount(name)]));
    const before = listeners();
    const lock = redis(clients[0], { ...PATIENT, subscriber: clients[1] });
    const key = randomUUID();

    const lease = await win(key, {}, lock);
    const stop = await lock.watch?.({ key, owner: "b", mode: "exclusive" }, () => {});
    await lock.release(lease);
    stop?.();

    expect(clients.map(({ status }) => status)).toEqual(["ready", "ready"]);
    expect(listeners()).toEqual(before);
  });
});

describe("redis on its server", () => {
  it("L1 keeps an exclusive lock as Redlock does, so that each excludes the other", async () => {
    const key = randomUUID();
    const other = redlock([client], { prefix: "locks/", nodeTimeoutMs: 5_000 });

    const lease = await win(key, { prefix: "locks/" });
    const refused = await other.acquire(key, { ttlMs: 60_000, owner: "b" });
    const value = await client.get(`locks/${key}`);
    await redis(client, { ...PATIENT, prefix: "locks/" }).release(lease);
    const theirs = await other.acquire(key, { ttlMs: 60_000, owner: "b" });

    expect(value).toBe("a");
    expect(refused.lease).toBeNull();
    expect(theirs.lease?.owner).toBe("b");
    expect((await attempt(key, { prefix: "locks/" })).lease).toBeNull();
  });

  it("works on when its server forgets its scripts", async () => {
    await using forgetful = await privateNodes(1);
    const own = at(await forgetful.connect(), 0);
    const lock = redis(own, PATIENT);
    const key = randomUUID();

    await own.script("FLUSH");
    const lease = await win(key, {}, lock);
    await own.script("FLUSH");
    const extended = await lock.extend(lease);
    await own.script("FLUSH");
    const released = await lock.release(lease);

    expect([extended, released]).toEqual([true, true]);
    expect(await own.exists(key)).toBe(0);
  });

  it("works with clients that read numbers as text", async () => {
    const own = at(await nodes.connect({ stringNumbers: true }), 0);
    const lock = redis(own, PATIENT);
    const key = randomUUID();
    const lease = await win(key, {}, lock);

    const refused = await lock.acquire(key, { ttlMs: 60_000, owner: "b" });
    const extended = await lock.extend(lease);
    const released = [await lock.release(lease), await lock.release(lease)];

    expect(refused.lease === null && refused.retryAfterMs).toBeGreaterThan(50_000);
    expect(extended).toBe(true);
    expect(released).toEqual([true, false]);
  });

  it("L4 a foreign key that never ends is contention of unknown length, and stays", async () => {
    const key = randomUUID();
    await client.set(key, "another program");
    const lock = redis(client, PATIENT);

    const attempts = [await attempt(key), await lock.acquire(key, { ttlMs: 60_000, owner: "a", mode: "shared" })];
    const released = await lock.release({ key, owner: "a", ttlMs: 60_000 });

    expect(attempts).toEqual([1, 2].map(() => ({ lease: null, retryAfterMs: 0 })));
    expect(released).toBe(false);
    expect(await client.get(key)).toBe("another program");
  });

  it.each(["exclusive", "shared"] as const)("L4 asking for a key of another type fails and says so: %s", async (mode) => {
    const key = randomUUID();
    await client.hset(key, "field", "value");
    const lock = redis(client, PATIENT);
    const lease = { key, owner: "a", ttlMs: 60_000 };

    const error = await lock.acquire(key, { ...lease, mode }).catch((thrown) => thrown);

    expect(error).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("WRONGTYPE") });
    expect([await lock.extend(lease), await lock.release(lease)]).toEqual([false, false]);
    expect(await client.hgetall(key)).toEqual({ field: "value" });
  });

  it("L4 a refused login is named without the password", async () => {
    await using guarded = await privateNodes(1);
    await at(await guarded.connect(), 0).config("SET", "requirepass", "right-pa55word");
    const { host, port } = at(guarded.servers, 0);
    const stranger = new Redis({ host, port, password: "wrong-pa55word" });
    stranger.on("error", () => undefined);

    const error = await redis(stranger, PATIENT)
      .acquire("order:1", { ttlMs: 60_000, owner: "a" })
      .catch((thrown) => thrown);

    stranger.disconnect();
    expect(error).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { backend: "redis", nodes: [{ node: `${host}:${port}`, cause: expect.stringContaining("WRONGPASS") }] },
    });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("pa55word");
  });
});

describe("redis' extension of many leases", () => {
  it("L2 asks the server once for each hundred", async () => {
    await using own = await privateNodes(1);
    const ownClient = at(await own.connect(), 0);
    const lock = redis(ownClient, PATIENT);
    const leases = await Promise.all(Array.from({ length: 250 }, (_, index) => win(`many:${index}`, {}, lock)));
    await lock.extend(at(leases, 0));
    await ownClient.config("RESETSTAT");

    const answers = await lock.extendMany?.(leases);

    expect(answers).toEqual(leases.map(() => true));
    expect(await executions(ownClient, "evalsha")).toBe(3);
  });

  it("L2 fails as a whole when one of its keys cannot be asked about", async () => {
    await using own = await privateNodes(1);
    const ownClient = at(await own.connect(), 0);
    const lock = redis(ownClient, PATIENT);
    const lease = await win("order:1", {}, lock);
    await ownClient.config("SET", "requirepass", "pa55word");
    ownClient.disconnect(true);

    await expect(lock.extendMany?.([lease])).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining('extend "order:1"'),
    });
  });

  it("leaves a cluster's leases to be extended one by one: their keys are on different nodes", () => {
    const cluster = { isCluster: true, evalsha: async () => [1], eval: async () => [1] };

    expect(redis(cluster).extendMany).toBeUndefined();
  });
});

async function attempt(key: string, options: RedisLockOptions = {}) {
  return redis(client, { ...PATIENT, ...options }).acquire(key, { ttlMs: 60_000, owner: "another" });
}

async function win(key: string, options: RedisLockOptions = {}, lock = redis(client, { ...PATIENT, ...options })) {
  const { lease } = await lock.acquire(key, { ttlMs: 60_000, owner: "a" });
  if (lease === null) throw new Error("the key is held");
  return lease;
}
