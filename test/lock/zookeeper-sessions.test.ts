import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "node-zookeeper-client";
import { afterEach, describe, expect, it } from "vitest";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { zookeeper as service } from "../support/services/zookeeper.ts";
import { sharedUrl } from "../support/shared-urls.ts";
import { startZookeeper } from "../support/zookeeper.ts";
import {
  type ClientOptions,
  closeClient,
  createClient,
  inspectZookeeper,
  openClient,
  openZookeeper,
} from "./zookeeper-clients.ts";

const TTL_MS = 20_000;
const CALL_TIMEOUT_MS = 300;
/** What a call may take on a busy machine that ends by its limit. */
const IN_TIME_MS = 2_000;

const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function open(url = sharedUrl(service), options?: ClientOptions): Promise<Client> {
  const client = await openClient([url], options);
  opened.push({ close: () => closeClient(client) });
  return client;
}

async function inspect() {
  const inspector = await inspectZookeeper([sharedUrl(service)]);
  opened.push(inspector);
  return inspector;
}

/**
 * Ends the session of a client as its timeout would: the client learns of it when it connects again. A second client with the same
 * session does it, which takes the session from the first one; that may take it back before it is ended, and so it is done again.
 */
async function expire(client: Client): Promise<void> {
  let hasExpired = false;
  client.once("expired", () => {
    hasExpired = true;
  });
  const session = { sessionId: client.getSessionId(), sessionPassword: client.getSessionPassword() };
  await eventually(
    async () => {
      const twin = createClient([sharedUrl(service)], session);
      twin.once("connected", () => twin.close());
      twin.connect();
      await Promise.race([once(twin, "disconnected"), once(twin, "expired"), delay(500)]);
      return hasExpired;
    },
    { what: "the expiry" },
  );
}

// Planted once and seen to fail: counting any node with the owner's name as one's own fails "an earlier session" and "another process";
// no memory of the expiry fails "learns of it"; no time limit fails "hangs"; a batch lost as a whole fails "an operator deletes".
describe("zookeeper sessions", () => {
  it("L3 the key of a holder that vanished is free when its session times out, and not before", async () => {
    const proxy = await startCutProxy(sharedUrl(service));
    opened.push(proxy);
    const holder = zookeeper(await open(proxy.url, { sessionMs: 3_000 }));
    const other = zookeeper(await open());
    const key = randomUUID();
    await holder.acquire(key, { ttlMs: 3_000, owner: "holder" });
    const startedAt = performance.now();

    proxy.cut();

    await eventually(async () => (await other.acquire(key, { ttlMs: TTL_MS, owner: "other" })).lease, {
      timeoutMs: 15_000,
      what: "the end of the holder's session",
    });
    // Its last sign of life may be up to a third of the session old.
    expect(performance.now() - startedAt).toBeGreaterThan(1_500);
  });

  it("L2 a lease whose session has expired is lost, also to the client that learns of it", async () => {
    const client = await open();
    const lock = zookeeper(client, { callTimeoutMs: CALL_TIMEOUT_MS });
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");

    await expire(client);

    expect(await lock.extend(lease)).toBe(false);
    expect(await lock.extendMany?.([lease, lease])).toEqual([false, false]);
    expect(await lock.release(lease)).toBe(false);
    await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "a" })).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringMatching(/session of the client has expired. Pass a function/),
    });
    const inspector = await inspect();
    expect(await inspector.line(key)).toEqual([]);
  });

  it("goes on with the client that the function returns once the first one's session has expired", async () => {
    let client = await open();
    const lock = zookeeper(() => client);
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    await expire(client);

    client = await open();

    expect(await lock.extend(lease)).toBe(false);
    const again = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    expect(again.lease).toEqual(lease);
    expect(await lock.extend(lease)).toBe(true);
    expect(await lock.release(lease)).toBe(true);
  });

  it("L7 a node of an earlier session with the owner's name is not the owner's: it is replaced", async () => {
    const proxy = await startCutProxy(sharedUrl(service));
    opened.push(proxy);
    const first = await open(proxy.url);
    let client = first;
    const lock = zookeeper(() => client, { callTimeoutMs: 1_000 });
    const inspector = await inspect();
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    const [left] = await inspector.line(key);
    proxy.cut();

    client = await open();
    const extended = await lock.extend(lease);
    const again = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });

    expect(extended).toBe(false);
    expect(again.lease).toEqual(lease);
    const [own, ...others] = await inspector.line(key);
    expect(own).not.toBe(left);
    expect(others).toEqual([]);
    expect(await lock.extend(lease)).toBe(true);
    expect(await lock.release(lease)).toBe(true);
  });

  it("L2 a lease that another process won is not extended here, since it would end with that process", async () => {
    const [one, other] = [zookeeper(await open()), zookeeper(await open())];
    const key = randomUUID();
    const { lease } = await one.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");

    expect(await other.extend(lease)).toBe(false);

    expect(await one.extend(lease)).toBe(true);
    expect(await other.release(lease)).toBe(true);
    expect(await one.extend(lease)).toBe(false);
  });

  it("L2 two back-ends over one client know each other's leases", async () => {
    const client = await open();
    const [one, other] = [zookeeper(client), zookeeper(client)];
    const key = randomUUID();
    const { lease } = await one.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    await one.acquire(key, { ttlMs: TTL_MS, owner: "b", queue: true });

    expect((await other.acquire(key, { ttlMs: TTL_MS, owner: "a" })).lease).toEqual(lease);
    expect(await other.extend(lease)).toBe(true);
    expect(await other.extend({ ...lease, owner: "b" })).toBe(false);
    expect(await other.release(lease)).toBe(true);
    expect(await one.extend(lease)).toBe(false);
  });

  it("L2 a node that an operator deletes is a lease lost, and the others of the same batch are kept", async () => {
    const lock = zookeeper(await open(), { callTimeoutMs: 10_000 });
    const inspector = await inspect();
    const keys = Array.from({ length: 600 }, () => randomUUID());
    const attempts = await Promise.all(keys.map((key) => lock.acquire(key, { ttlMs: TTL_MS, owner: "a" })));
    const leases = attempts.flatMap(({ lease }) => lease ?? []);

    await inspector.remove(keys[7] ?? "");
    await inspector.remove(keys[550] ?? "");

    const answers = (await lock.extendMany?.(leases)) ?? [];
    expect(answers.flatMap((isHeld, index) => (isHeld ? [] : [index]))).toEqual([7, 550]);
    expect(answers).toHaveLength(600);
  });

  it("L9 a place that an operator deletes is taken anew, at the end of the line", async () => {
    const lock = zookeeper(await open());
    const inspector = await inspect();
    const key = randomUUID();
    const ask = async (owner: string) => (await lock.acquire(key, { ttlMs: TTL_MS, owner, queue: true })).lease?.owner ?? null;
    await ask("holder");
    await ask("first");
    await ask("second");
    const [, first = ""] = await inspector.line(key);

    await inspector.removeNode(first);
    await lock.release({ key, owner: "holder", ttlMs: TTL_MS });

    expect(await ask("first")).toBeNull();
    expect(await ask("second")).toBe("second");
    await lock.release({ key, owner: "second", ttlMs: TTL_MS });
    expect(await ask("first")).toBe("first");
  });

  it("L6 a server that hangs is not waited for, and what a call created late is undone", async () => {
    const server = await startZookeeper();
    opened.push({ close: () => server.stop() });
    const client = await open(server.url);
    const lock = zookeeper(client, { callTimeoutMs: CALL_TIMEOUT_MS });
    const inspector = await inspectZookeeper([server.url]);
    opened.push(inspector);
    const lease = { key: "held", owner: "a", ttlMs: TTL_MS };
    await lock.acquire("held", lease);
    // So that the folder is there, and the first thing sent is the creation.
    await lock.acquire("late", { ttlMs: TTL_MS, owner: "first" });
    await lock.acquire("late", { ttlMs: TTL_MS, owner: "late", queue: true });
    await lock.release({ key: "late", owner: "late", ttlMs: TTL_MS });
    server.hang();

    const startedAt = performance.now();
    const failed = await Promise.all(
      [
        lock.acquire("late", { ttlMs: TTL_MS, owner: "late", queue: true }),
        lock.extend(lease),
        lock.release({ ...lease, owner: "nobody" }),
        lock.watch?.({ key: "held", owner: "b", mode: "exclusive" }, () => {}),
      ].map((call) => call?.catch((error) => error)),
    );
    const tookMs = performance.now() - startedAt;
    server.resume();

    expect(failed).toEqual(failed.map(() => expect.objectContaining({ code: "LOCK_UNREACHABLE" })));
    expect(tookMs).toBeLessThan(IN_TIME_MS);
    await eventually(() => lock.extend(lease), { what: "the extension" });
    await eventually(async () => (await inspector.line("late")).length === 1, { what: "an end to the late place" });
  });

  // About every fourth time the client calls the server while it starts and never gets an answer: then this waits for the cut.
  it("L3 a lease outlives its server's death and restart, within the session", async () => {
    const server = await startZookeeper();
    opened.push({ close: () => server.stop() });
    const lock = zookeeper(await open(server.url, { sessionMs: 12_000 }), { callTimeoutMs: CALL_TIMEOUT_MS });
    const lease = { key: "held", owner: "a", ttlMs: 12_000 };
    await lock.acquire("held", lease);

    await server.kill();
    const failed = await lock.extend(lease).catch((error) => error);
    await server.restart();

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", details: { backend: "zookeeper" } });
    expect(await eventually(() => lock.extend(lease).then(String), { timeoutMs: 15_000, what: "an answer" })).toBe("true");
    const other = zookeeper(await open(server.url));
    expect((await other.acquire("held", { ttlMs: TTL_MS, owner: "b" })).lease).toBeNull();
    expect(await lock.release(lease)).toBe(true);
  });

  // Seen to fail without the setting back: the client throws from 2,147,483,648 on, for good.
  it("a client that has sent two thousand million requests goes on", async () => {
    const client = await open();
    const lock = zookeeper(client);
    client.connectionManager.xid = 2_147_483_640;
    const key = randomUUID();

    for (let round = 0; round < 5; round += 1) {
      const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
      expect(lease && (await lock.extend(lease))).toBe(true);
      expect(lease && (await lock.release(lease))).toBe(true);
    }

    expect(client.connectionManager.xid).toBeLessThan(100);
  });

  it("ends a session when it is closed, so that the conformance suites need not wait for it", async () => {
    const holder = await openZookeeper([sharedUrl(service)]);
    const other = zookeeper(await open());
    const key = randomUUID();
    await holder.backend.acquire(key, { ttlMs: TTL_MS, owner: "a" });

    await holder.close();

    expect((await other.acquire(key, { ttlMs: TTL_MS, owner: "b" })).lease).not.toBeNull();
  });
});

describe("zookeeper and an answer that was cut in half", () => {
  // Planted: the half kept, which the client reads as the beginning of the next connection's first answer.
  it("L6 makes the client forget it when its connection breaks", async () => {
    const listeners: (() => void)[] = [];
    const connectionManager = { pendingBuffer: Buffer.from("half") as Uint8Array | null };
    const broken = { getState: () => ({ name: "DISCONNECTED" }), getSessionTimeout: () => 30_000, connectionManager };
    const unused = Object.fromEntries(
      ["getSessionId", "getChildren", "getData", "exists", "transaction"].map((name) => [name, () => {}]),
    );
    const client = { ...broken, ...unused, on: (_event: string, listener: () => void) => listeners.push(listener) };
    const backend = zookeeper(client as never, { callTimeoutMs: 20 });
    await expect(backend.acquire("order:1", { ttlMs: 10_000, owner: "a" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    for (const listener of listeners) listener();

    expect(listeners.length).toBeGreaterThan(0);
    expect(connectionManager.pendingBuffer).toBeNull();
  });
});
