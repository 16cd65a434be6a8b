import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LockLease } from "../../src/lock/lock.ts";
import { redlock } from "../../src/lock/redlock.ts";
import type { RedisClient } from "../../src/lock/redlock-nodes.ts";
import { at, privateNodes, type RedisNodes, sharedNodes } from "./redis-nodes.ts";

/** So that a machine busy with other tests is not taken for nodes that do not answer. */
const PATIENT_MS = 5_000;

let nodes: RedisNodes;
beforeAll(async () => {
  nodes = await sharedNodes(5);
});
afterAll(() => nodes[Symbol.asyncDispose]());

describe("redlock's configuration", () => {
  it.each([0, 2, 4])("refuses %i clients and says that an odd number is needed", async (count) => {
    const clients = (await nodes.connect()).slice(0, count);

    expect(() => redlock(clients)).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        message: expect.stringContaining(`an odd number of clients (1, 3, 5, ...), not ${count}`),
      }),
    );
  });

  it("refuses one client twice, because a node has one vote", async () => {
    const [a, b] = await nodes.connect();

    expect(() => redlock([a, b, a] as Redis[])).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("clients[2] is clients[0] again") }),
    );
  });

  it("refuses a client of another library, and names it", () => {
    const nodeRedis = { evalSha: async () => "OK", eval: async () => "OK" };

    expect(() => redlock([nodeRedis as unknown as RedisClient])).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("clients[0]") }),
    );
  });

  it.each([0, -1, Number.NaN])("refuses %s ms as a node timeout and as a ttl", async (ms) => {
    const clients = (await nodes.connect()).slice(0, 1);

    expect(() => redlock(clients, { nodeTimeoutMs: ms })).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    await expect(redlock(clients).acquire("order:1", { ttlMs: ms, owner: "a" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  it("leaves the clients open and without listeners of its own", async () => {
    const clients = await nodes.connect();
    const before = clients.map((client) => client.eventNames().map((name) => [name, client.listenerCount(name)]));
    const lock = redlock(clients, { nodeTimeoutMs: PATIENT_MS });

    await lock.release(await win(clients, randomUUID()));

    expect(clients.map((client) => client.status)).toEqual(["ready", "ready", "ready", "ready", "ready"]);
    expect(clients.map((client) => client.eventNames().map((name) => [name, client.listenerCount(name)]))).toEqual(before);
  });
});

describe("redlock on its nodes", () => {
  it("puts the prefix before every key", async () => {
    const clients = await nodes.connect();
    const key = randomUUID();

    const { lease } = await redlock(clients, { prefix: "locks/", nodeTimeoutMs: PATIENT_MS }).acquire(key, {
      ttlMs: 60_000,
      owner: "a",
    });

    expect(lease?.key).toBe(key);
    await expect.poll(() => nodes.values(`locks/${key}`)).toEqual(["a", "a", "a", "a", "a"]);
  });

  it("works on when its nodes forget its scripts", async () => {
    await using forgetful = await privateNodes(3);
    const clients = await forgetful.connect();
    const lock = redlock(clients, { nodeTimeoutMs: PATIENT_MS });
    const forget = () => Promise.all(clients.map((client) => client.script("FLUSH")));
    const key = randomUUID();

    await forget();
    const lease = await win(clients, key);
    await forget();
    const extended = await lock.extend(lease);
    await forget();
    const released = await lock.release(lease);

    expect([extended, released]).toEqual([true, true]);
    await expect.poll(() => forgetful.values(key)).toEqual([null, null, null]);
  });

  it("works with clients that read numbers as text", async () => {
    const clients = await nodes.connect({ stringNumbers: true });
    const key = randomUUID();
    await win(clients, key);

    const attempt = await redlock(clients, { nodeTimeoutMs: PATIENT_MS }).acquire(key, { ttlMs: 60_000, owner: "b" });

    expect(attempt).toEqual({ lease: null, retryAfterMs: expect.any(Number) });
    expect(attempt.lease === null && attempt.retryAfterMs).toBeGreaterThan(50_000);
  });

  it("L4 a foreign key that never ends is contention of unknown length, and stays", async () => {
    const clients = await nodes.connect();
    const key = randomUUID();
    await Promise.all(clients.map((client) => client.set(key, "another program")));
    const lock = redlock(clients, { nodeTimeoutMs: PATIENT_MS });

    const attempt = await lock.acquire(key, { ttlMs: 60_000, owner: "a" });
    const released = await lock.release({ key, owner: "a", ttlMs: 60_000 });

    expect(attempt).toEqual({ lease: null, retryAfterMs: 0 });
    expect(released).toBe(false);
    expect(await nodes.values(key)).toEqual(Array(5).fill("another program"));
  });

  it("L4 a key of another type is a failure that says so, not contention", async () => {
    const clients = await nodes.connect();
    const key = randomUUID();
    await Promise.all(clients.map((client) => client.hset(key, "field", "value")));

    const attempt = redlock(clients, { nodeTimeoutMs: PATIENT_MS }).acquire(key, { ttlMs: 60_000, owner: "a" });

    await expect(attempt).rejects.toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("WRONGTYPE") });
  });

  it("L4 a refused login is named without the password", async () => {
    await using guarded = await privateNodes(1);
    const [admin] = await guarded.connect();
    await admin?.config("SET", "requirepass", "right-pa55word");
    const { host, port } = at(guarded.servers, 0);
    const client = new Redis({ host, port, password: "wrong-pa55word" });
    client.on("error", () => undefined);

    const error = await redlock([client], { nodeTimeoutMs: PATIENT_MS })
      .acquire("order:1", { ttlMs: 60_000, owner: "a" })
      .catch((thrown) => thrown);

    client.disconnect();
    expect(error).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { nodes: [{ node: `${host}:${port}`, cause: expect.stringContaining("WRONGPASS") }] },
    });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("pa55word");
  });
});

async function win(clients: readonly Redis[], key: string): Promise<LockLease> {
  const { lease } = await redlock(clients, { nodeTimeoutMs: PATIENT_MS }).acquire(key, { ttlMs: 60_000, owner: "a" });
  if (lease === null) throw new Error("the key is held");
  return lease;
}
