import type { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { redlock } from "../../src/lock/redlock.ts";
import { eventually } from "../support/eventually.ts";
import { at, executions, privateNodes, timed } from "./redis-nodes.ts";

/** 5 % of it, 1,500 ms, is what a call waits for a node; anything well below shows that it did not wait. */
const TTL_MS = 30_000;
const WITHOUT_WAITING_MS = 1_000;

/** What ioredis does by itself, and what redlock's documentation recommends. */
const CLIENT_OPTIONS = [
  ["default", {}],
  ["recommended", { maxRetriesPerRequest: 1, enableOfflineQueue: false }],
] as const;

// Planted once and seen to fail: deciding only when every node has answered or timed out fails the tests that do not wait; no undo
// of votes fails the dead and hung node and the late vote; no time limit fails these and the two hung nodes.
describe.each(CLIENT_OPTIONS)("redlock with hung nodes and %s clients", (_, options) => {
  it.each([0, 1, 2])("L6 acquire, extend and release do not wait for node %i when it hangs", async (hung) => {
    await using nodes = await privateNodes(3);
    const lock = redlock(await nodes.connect(options));
    at(nodes.servers, hung).hang();

    const acquired = await timed(() => lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" }));
    const lease = { key: "order:1", owner: "a", ttlMs: TTL_MS };
    const extended = await timed(() => lock.extend(lease));
    const released = await timed(() => lock.release(lease));

    expect([acquired.value, extended.value, released.value]).toEqual([{ lease }, true, true]);
    expect(Math.max(acquired.tookMs, extended.tookMs, released.tookMs)).toBeLessThan(WITHOUT_WAITING_MS);
  });

  it("L6 a contended acquire does not wait for a hung node", async () => {
    await using nodes = await privateNodes(3);
    const lock = redlock(await nodes.connect(options));
    await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    at(nodes.servers, 2).hang();

    const refused = await timed(() => lock.acquire("order:1", { ttlMs: TTL_MS, owner: "b" }));

    expect(refused.value.lease).toBeNull();
    expect(refused.tookMs).toBeLessThan(WITHOUT_WAITING_MS);
  });

  it("L4 L5 one dead and one hung node of three are named, and the vote of the third is given back", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect(options);
    const lock = redlock(clients, { nodeTimeoutMs: 300 });
    await warm(clients);
    const [dead, hung, alive] = [at(nodes.servers, 0), at(nodes.servers, 1), at(clients, 2)];
    await dead.kill();
    hung.hang();
    await alive.config("RESETSTAT");

    const failed = await timed(() => lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" }).catch((error) => error));

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining('acquire "order:1"') });
    expect(failed.value.details.nodes).toEqual([
      { node: `127.0.0.1:${dead.port}`, cause: expect.stringMatching(/./) },
      { node: `127.0.0.1:${hung.port}`, cause: expect.stringMatching(/^no answer within \d+ ms/) },
    ]);
    expect(failed.tookMs).toBeLessThan(WITHOUT_WAITING_MS);
    expect(await executions(alive, "set")).toBe(1);
    expect(await alive.get("order:1")).toBeNull();
  });

  it("L5 a vote that arrives after the attempt failed is given back", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect(options);
    const lock = redlock(clients, { nodeTimeoutMs: 300 });
    await warm(clients);
    const late = at(clients, 1);
    await late.config("RESETSTAT");
    at(nodes.servers, 0).hang();
    at(nodes.servers, 1).hang();
    const attempt = lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    await expect(attempt).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    at(nodes.servers, 1).resume();

    await eventually(async () => (await executions(late, "set")) === 1, { what: "the late vote" });
    await eventually(async () => (await late.get("order:1")) === null, { timeoutMs: 5_000, what: "the undo of the late vote" });
  });

  it("L5 a lease won without a hung node is taken off it too once it goes on", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect(options);
    const lock = redlock(clients);
    await warm(clients);
    const late = at(clients, 1);
    await late.config("RESETSTAT");
    at(nodes.servers, 1).hang();
    const { lease } = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    expect(lease && (await lock.release(lease))).toBe(true);

    at(nodes.servers, 1).resume();

    await eventually(async () => (await executions(late, "set")) === 1, { what: "the late vote" });
    await eventually(async () => (await late.get("order:1")) === null, { timeoutMs: 5_000, what: "the late release" });
  });

  it("L6 with two of three nodes hung extend and release fail within the time limit, and the lease stands", async () => {
    await using nodes = await privateNodes(3);
    const lock = redlock(await nodes.connect(options), { nodeTimeoutMs: 300 });
    const lease = { key: "order:1", owner: "a", ttlMs: TTL_MS };
    await lock.acquire("order:1", lease);
    at(nodes.servers, 0).hang();
    at(nodes.servers, 1).hang();

    const extended = await timed(() => lock.extend(lease).catch((error) => error));
    at(nodes.servers, 0).resume();
    const extendedAgain = await lock.extend(lease);
    at(nodes.servers, 0).hang();
    const released = await timed(() => lock.release(lease).catch((error) => error));

    expect(extended.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("extend") });
    expect(extendedAgain).toBe(true);
    expect(released.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("release") });
    expect(Math.max(extended.tookMs, released.tookMs)).toBeLessThan(WITHOUT_WAITING_MS);
  });

  it("L6 a hung node that dies afterwards raises no unhandled rejection", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect({ ...options, maxRetriesPerRequest: 1 });
    const lock = redlock(clients);
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    at(nodes.servers, 1).hang();
    const { lease } = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    expect(lease && (await lock.release(lease))).toBe(true);

    await at(nodes.servers, 1).kill();

    await eventually(
      () =>
        at(clients, 1)
          .ping()
          .then(
            () => false,
            () => true,
          ),
      { what: "the client giving up its commands" },
    );
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
  });
});

/** Makes every node know the scripts, so that what is sent to a hung one is run when it goes on. */
async function warm(clients: readonly Redis[]): Promise<void> {
  const lease = { key: "warm", owner: "warm", ttlMs: TTL_MS };
  for (const client of clients) {
    const lock = redlock([client], { nodeTimeoutMs: 5_000 });
    await lock.acquire("warm", lease);
    await lock.extend(lease);
    await lock.release(lease);
  }
}
