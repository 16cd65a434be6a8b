import type { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import type { LockBackend } from "../../src/lock/lock.ts";
import { fromRedlock } from "../../src/lock/node-redlock.ts";
import { eventually } from "../support/eventually.ts";
import { VERSIONS } from "./published-redlock.ts";
import { at, executions, privateNodes, type RedisNodes, timed } from "./redis-nodes.ts";

/** 5 % of it, 1,500 ms, is what a call waits for a node; anything well below shows that it did not wait. */
const TTL_MS = 30_000;
const LEASE = { key: "order:1", owner: "a", ttlMs: TTL_MS };
const WITHOUT_WAITING_MS = 1_000;

/** So that a machine busy with other tests is not taken for nodes that do not answer. */
const PATIENT = { callTimeoutMs: 5_000 };

// Planted once and seen to fail: deciding only when every node has answered; the instance's own undo let through; no undo of ours;
// a node that does not answer counted as a refusal; a lost lease not given up where it is left.
describe.each(VERSIONS)("fromRedlock and nodes that hang or lose keys, redlock $version", ({ create }) => {
  it.each([0, 1, 2])("L6 acquire, extend and release do not wait for node %i when it hangs", async (hung) => {
    await using nodes = await privateNodes(3);
    const lock = fromRedlock(create(await nodes.connect()));
    at(nodes.servers, hung).hang();

    const acquired = await timed(() => lock.acquire(LEASE.key, LEASE));
    const refused = await timed(() => lock.acquire(LEASE.key, { ...LEASE, owner: "b" }));
    const extended = await timed(() => lock.extend(LEASE));
    const released = await timed(() => lock.release(LEASE));

    expect([acquired.value, extended.value, released.value]).toEqual([{ lease: LEASE }, true, true]);
    expect(refused.value.lease).toBeNull();
    expect(Math.max(...[acquired, refused, extended, released].map(({ tookMs }) => tookMs))).toBeLessThan(WITHOUT_WAITING_MS);
  });

  it("L4 L5 one dead and one hung node of three are named, and the vote of the third is given back", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), { callTimeoutMs: 300 });
    await warm(lock, nodes);
    const [dead, hung, alive] = [at(nodes.servers, 0), at(nodes.servers, 1), at(clients, 2)];
    await dead.kill();
    hung.hang();
    await alive.config("RESETSTAT");

    const failed = await timed(() => lock.acquire(LEASE.key, LEASE).catch((error) => error));

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining('acquire "order:1"') });
    expect(failed.value.details.nodes).toEqual([
      { node: `127.0.0.1:${dead.port}`, cause: expect.stringMatching(/./) },
      { node: `127.0.0.1:${hung.port}`, cause: expect.stringMatching(/^no answer within \d+ ms/) },
    ]);
    expect(failed.tookMs).toBeLessThan(WITHOUT_WAITING_MS);
    expect(await executions(alive, "set")).toBe(1);
    expect(await alive.get(LEASE.key)).toBeNull();
  });

  it("L5 a vote that arrives after the attempt failed is given back", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), { callTimeoutMs: 300 });
    await warm(lock, nodes);
    const late = at(clients, 1);
    await late.config("RESETSTAT");
    at(nodes.servers, 0).hang();
    at(nodes.servers, 1).hang();
    await expect(lock.acquire(LEASE.key, LEASE)).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    at(nodes.servers, 1).resume();

    await eventually(async () => (await executions(late, "set")) === 1, { what: "the late vote" });
    await eventually(async () => (await late.get(LEASE.key)) === null, { timeoutMs: 5_000, what: "the undo of the late vote" });
  });

  it("L1 L6 an extension that too few nodes answer is unknown, and takes the key from none of them", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), { callTimeoutMs: 300 });
    await hold(lock, nodes);
    at(nodes.servers, 0).hang();
    at(nodes.servers, 1).hang();

    const failed = await timed(() => lock.extend(LEASE).catch((error) => error));
    const released = await lock.release({ ...LEASE, owner: "b" }).catch((error) => error);
    at(nodes.servers, 0).resume();
    at(nodes.servers, 1).resume();

    expect(failed.value).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("extend") });
    expect(failed.tookMs).toBeLessThan(WITHOUT_WAITING_MS);
    expect(released).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("release") });
    expect(await Promise.all(clients.map((client) => client.get(LEASE.key)))).toEqual(["a", "a", "a"]);
    await eventually(() => lock.extend(LEASE), { what: "the lease" });
  });

  it("L2 a key stolen on most nodes is lost, left to the thief, and given up on the others", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), PATIENT);
    await hold(lock, nodes);
    await at(clients, 0).set(LEASE.key, "thief");
    await at(clients, 2).set(LEASE.key, "thief");

    const extended = await lock.extend(LEASE);
    await eventually(async () => expect(await nodes.values(LEASE.key)).toEqual(["thief", null, "thief"]));
    const released = await lock.release(LEASE);

    expect([extended, released]).toEqual([false, false]);
    expect(await nodes.values(LEASE.key)).toEqual(["thief", null, "thief"]);
  });

  it("L1 with a node emptied and a node silent extend tells nothing, however often it is tried", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect();
    const lock = fromRedlock(create(clients), { callTimeoutMs: 200 });
    await hold(lock, nodes);
    await at(clients, 0).del(LEASE.key);
    at(nodes.servers, 1).hang();

    const errors = [await lock.extend(LEASE).catch((error) => error), await lock.extend(LEASE).catch((error) => error)];

    expect(errors).toMatchObject([{ code: "LOCK_UNREACHABLE" }, { code: "LOCK_UNREACHABLE" }]);
    expect([await at(clients, 0).get(LEASE.key), await at(clients, 2).get(LEASE.key)]).toEqual([null, "a"]);
  });

  it("L6 a hung node that dies afterwards raises no unhandled rejection", async () => {
    await using nodes = await privateNodes(3);
    const clients = await nodes.connect({ maxRetriesPerRequest: 1 });
    const lock = fromRedlock(create(clients));
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    at(nodes.servers, 1).hang();
    const { lease } = await lock.acquire(LEASE.key, LEASE);
    expect(lease && (await lock.release(lease))).toBe(true);

    await at(nodes.servers, 1).kill();

    await eventually(() => isGivenUp(at(clients, 1)), { what: "the client giving up its commands" });
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
  });
});

/**
 * Makes every node know the scripts, so that what is sent to a hung one is run when it goes on, and nothing of it is under way any
 * more: a call ends with the answers of most nodes, and the last one may still be told the script.
 */
async function warm(lock: LockBackend, nodes: RedisNodes): Promise<void> {
  const lease = { key: "warm", owner: "warm", ttlMs: TTL_MS };
  await eventually(async () => {
    await lock.acquire(lease.key, lease);
    expect(await nodes.values(lease.key)).toEqual(["warm", "warm", "warm"]);
  });
  await eventually(async () => {
    await lock.extend(lease);
    await lock.release(lease);
    expect(await nodes.values(lease.key)).toEqual([null, null, null]);
  });
}

/** Acquires the lease on all nodes. */
async function hold(lock: LockBackend, nodes: RedisNodes): Promise<void> {
  await lock.acquire(LEASE.key, LEASE);
  await eventually(async () => expect(await nodes.values(LEASE.key)).toEqual(["a", "a", "a"]));
}

async function isGivenUp(client: Redis): Promise<boolean> {
  try {
    await client.ping();
    return false;
  } catch {
    return true;
  }
}
