import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LockBackend, LockLease } from "../../src/lock/lock.ts";
import { fromRedlock } from "../../src/lock/node-redlock.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { VERSIONS } from "./published-redlock.ts";
import { at, privateNodes, type RedisNodes, sharedNodes, timed } from "./redis-nodes.ts";

const TTL_MS = 60_000;
/** So that a machine busy with other tests is not taken for nodes that do not answer. */
const PATIENT = { callTimeoutMs: 5_000 };

let nodes: RedisNodes;
beforeAll(async () => {
  nodes = await sharedNodes(3);
});
afterAll(() => nodes[Symbol.asyncDispose]());

describe.each(VERSIONS)("fromRedlock's configuration, redlock $version", ({ create }) => {
  it.each([2, 4])("refuses an instance with %i clients, whose votes could be split for ever", async (count) => {
    const clients = Array.from({ length: count }, () => new Redis({ lazyConnect: true }));

    expect(() => fromRedlock(create(clients))).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        message: expect.stringContaining(`an odd number of clients (1, 3, 5, ...), not ${count}`),
      }),
    );
  });

  it("refuses clients that are not of ioredis", () => {
    const nodeRedis = { evalSha: async () => 1, eval: async () => 1 };

    expect(() => fromRedlock(create([nodeRedis]))).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("number 1 is none") }),
    );
  });

  it.each([0, -1, Number.NaN])("refuses %s ms as a time limit and as a ttl", async (ms) => {
    const instance = create([new Redis({ lazyConnect: true })]);

    expect(() => fromRedlock(instance, { callTimeoutMs: ms })).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    await expect(fromRedlock(instance).acquire("order:1", { ttlMs: ms, owner: "a" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  it("leaves the instance and its clients as they are, and without listeners of its own", async () => {
    const clients = await nodes.connect();
    const instance = create(clients);
    const looks = () => [...clients, instance].map((one) => Object.entries(Object.getOwnPropertyDescriptors(one)).length);
    const listeners = () => clients.map((client) => client.eventNames().map((name) => [name, client.listenerCount(name)]));
    const before = [looks(), listeners(), instance.listenerCount("error"), instance.listenerCount("clientError")];
    const lock = fromRedlock(instance, PATIENT);
    const key = randomUUID();

    await lock.release(await win(lock, key));

    expect([looks(), listeners(), instance.listenerCount("error"), instance.listenerCount("clientError")]).toEqual(before);
    expect(clients.map(({ status }) => status)).toEqual(["ready", "ready", "ready"]);
  });
});

describe("fromRedlock's configuration", () => {
  it("refuses a client that is there twice, because a node has one vote", () => {
    const [a, b] = [new Redis({ lazyConnect: true }), new Redis({ lazyConnect: true })];

    expect(() => fromRedlock(VERSIONS[0].create([a, b, a]))).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("number 3 is number 1 again") }),
    );
  });

  it.each([
    ["nothing", undefined],
    ["a client", new Redis({ lazyConnect: true })],
    ["what has only the names of version 4", { servers: [], lock() {}, extend() {}, unlock() {} }],
  ])("refuses %s and says what it needs", (_what, instance) => {
    expect(() => fromRedlock(instance as never)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("package redlock, 4.2 or 5") }),
    );
  });
});

// Planted once and seen to fail: the instance's random value for the owner; its events left to end the process, or kept from its
// listeners; no second look at a key that its own owner holds.
describe.each(VERSIONS)("fromRedlock beside the instance itself, redlock $version", ({ version, create }) => {
  it("L1 each excludes the other, and redlock() both", async () => {
    const clients = await nodes.connect();
    const instance = create(clients, { retryCount: 0 });
    const lock = fromRedlock(instance, { ...PATIENT, prefix: "locks/" });
    const [ours, theirs] = [randomUUID(), randomUUID()];
    await win(lock, ours);
    await lockByItself(instance, `locks/${theirs}`);

    const refused = [
      await lockByItself(instance, `locks/${ours}`).catch((error) => error.name),
      (await lock.acquire(theirs, { ttlMs: TTL_MS, owner: "b" })).lease,
      (await redlock(clients, { nodeTimeoutMs: 5_000, prefix: "locks/" }).acquire(ours, { ttlMs: TTL_MS, owner: "c" })).lease,
    ];

    expect(refused).toEqual([version === "4.2.0" ? "LockError" : "ExecutionError", null, null]);
    expect(await nodes.values(`locks/${ours}`)).toEqual(["a", "a", "a"]);
  });

  it("L4 does not wait for a holder though the instance would try again for 20 s", async () => {
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients, { retryCount: 100, retryDelay: 200 }), PATIENT);
    const key = randomUUID();
    const lease = await win(lock, key);

    const refused = await timed(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "b" }));
    const extended = await timed(() => lock.extend({ ...lease, owner: "b" }));
    const released = await timed(() => lock.release({ ...lease, owner: "b" }));

    expect([refused.value.lease, extended.value, released.value]).toEqual([null, false, false]);
    expect(Math.max(refused.tookMs, extended.tookMs, released.tookMs)).toBeLessThan(2_000);
  });

  it("L7 asking again refreshes the lease instead of being refused by it", async () => {
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), PATIENT);
    const key = randomUUID();
    await lock.acquire(key, { ttlMs: 20_000, owner: "a" });

    const again = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });

    expect(again).toEqual({ lease: { key, owner: "a", ttlMs: TTL_MS } });
    expect(Math.min(...(await Promise.all(clients.map((client) => client.pttl(key)))))).toBeGreaterThan(50_000);
  });

  it("L4 a foreign key that never ends is contention of unknown length, and stays", async () => {
    const clients = await nodes.connect();
    const key = randomUUID();
    await Promise.all(clients.map((client) => client.set(key, "another program")));
    const lock = fromRedlock(create(clients), PATIENT);

    const attempt = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    const released = await lock.release({ key, owner: "a", ttlMs: TTL_MS });

    expect(attempt).toEqual({ lease: null, retryAfterMs: 0 });
    expect(released).toBe(false);
    expect(await nodes.values(key)).toEqual(Array(3).fill("another program"));
  });

  it("works on when its nodes forget the instance's scripts", async () => {
    await using forgetful = await privateNodes(3);
    const clients = await forgetful.connect();
    const lock = fromRedlock(create(clients), PATIENT);
    const forget = () => Promise.all(clients.map((client) => client.script("FLUSH")));

    await forget();
    const lease = await win(lock, "order:1");
    await forget();
    const extended = await lock.extend(lease);
    await forget();
    const released = await lock.release(lease);

    expect([extended, released]).toEqual([true, true]);
    await expect.poll(() => forgetful.values("order:1")).toEqual([null, null, null]);
  });

  it("works with clients that read numbers as text", async () => {
    const lock = fromRedlock(create(await nodes.connect({ stringNumbers: true })), PATIENT);
    const key = randomUUID();
    const lease = await win(lock, key);

    const refused = await lock.acquire(key, { ttlMs: TTL_MS, owner: "b" });
    const ended = [await lock.extend(lease), await lock.release(lease), await lock.release(lease)];

    expect(refused.lease === null && refused.retryAfterMs).toBeGreaterThan(50_000);
    expect(ended).toEqual([true, true, false]);
  });

  it.each([
    ["nobody listens", undefined],
    [
      "a listener throws",
      () => {
        throw new Error("the listener's own");
      },
    ],
  ])("L6 events of the instance end no process and no call when %s", async (_what, listener) => {
    const dead = new Redis({ port: 1, lazyConnect: true, retryStrategy: null, enableOfflineQueue: false });
    dead.on("error", () => {});
    const instance = create([dead, ...(await nodes.connect()).slice(1)]);
    instance.removeAllListeners();
    if (listener !== undefined) for (const event of ["error", "clientError"]) instance.on(event, listener);
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    const lock = fromRedlock(instance, PATIENT);

    const lease = await win(lock, randomUUID());
    const refused = await lock.acquire(lease.key, { ttlMs: TTL_MS, owner: "b" });
    const ended = [await lock.extend(lease), await lock.release(lease)];

    process.off("unhandledRejection", listen);
    expect(refused.lease).toBeNull();
    expect(ended).toEqual([true, true]);
    expect(unhandled).toEqual([]);
  });

  it("tells the instance's listeners of nodes that fail, as it would itself", async () => {
    const dead = new Redis({ port: 1, lazyConnect: true, retryStrategy: null, enableOfflineQueue: false });
    dead.on("error", () => {});
    const instance = create([dead, ...(await nodes.connect()).slice(1)]);
    const told: unknown[] = [];
    for (const event of ["error", "clientError"]) instance.on(event, (error) => told.push(error));

    await win(fromRedlock(instance, PATIENT), randomUUID());

    await expect.poll(() => told).toEqual([expect.any(Error)]);
  });

  it("L4 a refused login is named without the password", async () => {
    await using guarded = await privateNodes(1);
    await at(await guarded.connect(), 0).config("SET", "requirepass", "right-pa55word");
    const { host, port } = at(guarded.servers, 0);
    const stranger = new Redis({ host, port, password: "wrong-pa55word" });
    stranger.on("error", () => undefined);

    const error = await win(fromRedlock(create([stranger]), PATIENT), "order:1").catch((thrown) => thrown);

    stranger.disconnect();
    expect(error).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { backend: "node-redlock", nodes: [{ node: `${host}:${port}`, cause: expect.stringContaining("WRONGPASS") }] },
    });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("pa55word");
  });
});

async function win(lock: LockBackend, key: string): Promise<LockLease> {
  const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
  if (lease === null) throw new Error("the key is held");
  return lease;
}

/** As code does that knows nothing of us. */
async function lockByItself(instance: Parameters<typeof fromRedlock>[0], key: string): Promise<unknown> {
  return "servers" in instance ? instance.lock(key, TTL_MS) : instance.acquire([key], TTL_MS);
}
