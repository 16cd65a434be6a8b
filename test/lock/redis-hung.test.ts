import { describe, expect, it } from "vitest";
import { redis } from "../../src/lock/redis.ts";
import { eventually } from "../support/eventually.ts";
import { at, executions, privateNodes, timed } from "./redis-nodes.ts";

const TTL_MS = 30_000;
const LEASE = { key: "order:1", owner: "a", ttlMs: TTL_MS };
/** Well below what the clients would wait by themselves. */
const SOON_MS = 1_500;

/** What ioredis does by itself, and what redis' documentation recommends. */
const CLIENT_OPTIONS = [
  ["default", {}],
  ["recommended", { maxRetriesPerRequest: 1, enableOfflineQueue: false }],
] as const;

// Planted once and seen to fail: no time limit, and no undo after it.
describe.each(CLIENT_OPTIONS)("redis with a hung or dead server and %s clients", (_, options) => {
  it("L6 every call fails within the time limit and says which server is silent; the lease stands", async () => {
    await using nodes = await privateNodes(1);
    const [client, subscriber] = await Promise.all([nodes.connect(options), nodes.connect(options)]).then((all) => all.flat());
    if (client === undefined || subscriber === undefined) throw new Error("no clients");
    const lock = redis(client, { callTimeoutMs: 300, subscriber });
    await lock.acquire(LEASE.key, LEASE);
    const server = at(nodes.servers, 0);
    server.hang();

    const calls = await Promise.all(
      [
        () => lock.acquire("order:2", LEASE),
        () => lock.acquire("order:3", { ...LEASE, mode: "shared" }),
        () => lock.extend(LEASE),
        () => lock.extendMany?.([LEASE, LEASE]) ?? Promise.resolve([]),
        () => lock.release({ ...LEASE, owner: "b" }),
        () => lock.watch?.({ key: LEASE.key, owner: "b", mode: "exclusive" }, () => {}) ?? Promise.resolve(),
      ].map((call) => timed(async () => call().catch((error: unknown) => error))),
    );
    server.resume();

    const silence = { node: `127.0.0.1:${server.port}`, cause: expect.stringMatching(/^no answer within 300 ms \(client is/) };
    for (const { value, tookMs } of calls) {
      expect(value).toMatchObject({ code: "LOCK_UNREACHABLE", details: { backend: "redis", nodes: [silence] } });
      expect(tookMs).toBeLessThan(SOON_MS);
    }
    await eventually(() => lock.extend(LEASE), { what: "the lease" });
  });

  it("L5 a win that comes after the time limit is given back", async () => {
    await using nodes = await privateNodes(1);
    const client = at(await nodes.connect(options), 0);
    const lock = redis(client, { callTimeoutMs: 300 });
    await lock.acquire("warm", LEASE);
    await client.config("RESETSTAT");
    at(nodes.servers, 0).hang();
    await expect(lock.acquire(LEASE.key, LEASE)).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    at(nodes.servers, 0).resume();

    await eventually(async () => (await executions(client, "set")) === 1, { what: "the late win" });
    await eventually(async () => (await client.exists(LEASE.key)) === 0, { timeoutMs: 5_000, what: "its undo" });
  });

  it("L6 a server that dies while it hangs raises no unhandled rejection, and a new one is used once it is there", async () => {
    await using nodes = await privateNodes(1);
    const client = at(await nodes.connect({ ...options, maxRetriesPerRequest: 1 }), 0);
    const lock = redis(client, { callTimeoutMs: 300 });
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    const server = at(nodes.servers, 0);
    server.hang();
    const failed = await lock.acquire(LEASE.key, LEASE).catch((error) => error);

    await server.kill();
    const dead = await lock.acquire(LEASE.key, LEASE).catch((error) => error);
    await server.restart();
    const back = await eventually(() => lock.acquire(LEASE.key, { ...LEASE, owner: "b" }), { what: "the server" });

    process.off("unhandledRejection", listen);
    expect([failed, dead]).toMatchObject([{ code: "LOCK_UNREACHABLE" }, { code: "LOCK_UNREACHABLE" }]);
    expect(back.lease?.owner).toBe("b");
    expect(unhandled).toEqual([]);
  });
});

describe("redis with replicas", () => {
  it("L1 L6 wins while the replica follows, and gives a win back while it does not", async () => {
    await using nodes = await privateNodes(2);
    const [master, replica] = await nodes.connect();
    if (master === undefined || replica === undefined) throw new Error("no clients");
    const lock = redis(master, { callTimeoutMs: 5_000, replicas: { count: 1, timeoutMs: 200 } });
    await replica.replicaof("127.0.0.1", at(nodes.servers, 0).port);
    await eventually(async () => (await master.wait(1, 100)) === 1, { what: "the replica" });

    const won = await lock.acquire(LEASE.key, LEASE);
    const copied = await replica.get(LEASE.key);
    at(nodes.servers, 1).hang();
    const failed = await lock.acquire("order:2", LEASE).catch((error) => error);

    expect(won).toEqual({ lease: LEASE });
    expect(copied).toBe("a");
    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("0 of 1 replicas had it") });
    await eventually(async () => (await master.exists("order:2")) === 0, { what: "the undo" });
  });
});
