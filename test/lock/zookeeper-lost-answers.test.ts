import { randomUUID } from "node:crypto";
import type { Client } from "node-zookeeper-client";
import { afterEach, describe, expect, it } from "vitest";
import { type ZookeeperOptions, zookeeper } from "../../src/lock/zookeeper.ts";
import { EPHEMERAL_SEQUENTIAL } from "../../src/lock/zookeeper-client.ts";
import { pathToCreate, spotOf } from "../../src/lock/zookeeper-line.ts";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { zookeeper as service } from "../support/services/zookeeper.ts";
import { sharedUrl } from "../support/shared-urls.ts";
import { type ClientOptions, closeClient, inspectZookeeper, openClient } from "./zookeeper-clients.ts";

/** 5 % of it, 1,000 ms, is what a call waits. */
const TTL_MS = 20_000;
const CALL_TIMEOUT_MS = 300;
/** A call that ended by its own limit, on a busy machine. */
const IN_TIME_MS = 2_000;

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Bed {
  readonly proxy: CutProxy;
  readonly client: Client;
  readonly lock: ReturnType<typeof zookeeper>;
  /** Over a connection of its own that nothing happens to. */
  readonly other: ReturnType<typeof zookeeper>;
  readonly key: string;
  /** How many nodes the server has in the key's line. */
  readonly inLine: () => Promise<number>;
}

/** A back-end whose connection a test breaks. */
async function through(options: ZookeeperOptions = {}, clientOptions: ClientOptions = {}): Promise<Bed> {
  const url = sharedUrl(service);
  const proxy = await startCutProxy(url);
  const client = await openClient([proxy.url], clientOptions);
  const steady = await openClient([url]);
  const inspector = await inspectZookeeper([url]);
  opened.push(proxy, { close: () => closeClient(client) }, { close: () => closeClient(steady) }, inspector);
  const key = randomUUID();
  const other = zookeeper(steady);
  // The first use of a folder makes it, which is not what is looked at here.
  await other.acquire(key, { ttlMs: TTL_MS, owner: "first" });
  await other.release({ key, owner: "first", ttlMs: TTL_MS });
  return {
    proxy,
    client,
    lock: zookeeper(client, { callTimeoutMs: CALL_TIMEOUT_MS, ...options }),
    other,
    key,
    inLine: async () => (await inspector.line(key)).length,
  };
}

/** Lets what names `owner` reach the server, and no answer come back from then on. */
function loseAnswers(proxy: CutProxy, owner: string): void {
  void proxy.loseAnswer(`-${owner}-`);
}

function reconnect(proxy: CutProxy): void {
  proxy.cut();
  proxy.heal();
}

// Planted once and seen to fail: nothing undone in the background fails the lost creation, the lost place and the release that did not
// reach the server; undoing that does not stop for the owner's next attempt fails "made up for"; requests given to a client without a
// connection, or to one that is silent, fail the two that nothing piles up.
describe("zookeeper with lost answers", () => {
  it("L5 a creation whose answer was lost is undone once the client is connected again", async () => {
    const { proxy, lock, other, key, inLine } = await through();
    loseAnswers(proxy, "lost");

    const failed = await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" }).catch((error) => error);
    const orphans = await inLine();
    reconnect(proxy);

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(orphans).toBe(1);
    await eventually(async () => (await inLine()) === 0, { what: "the undo of the lost creation" });
    expect((await other.acquire(key, { ttlMs: TTL_MS, owner: "other" })).lease).not.toBeNull();
  });

  // Planted: looked for once. A busy server carried a creation out after the next connection's first answers: nobody had the key then.
  it("L5 a creation that is carried out after it was looked for is undone all the same", async () => {
    const { proxy, client, lock, key, inLine } = await through();
    loseAnswers(proxy, "lost");
    await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
    reconnect(proxy);
    await eventually(async () => (await inLine()) === 0, { what: "the undo of the lost creation" });

    // What the connection that broke had brought.
    await new Promise<void>((resolve, reject) => {
      const path = pathToCreate(spotOf("/exclaim-locks", key), "lost", "exclusive");
      const creation = client.transaction().create(path, Buffer.alloc(0), EPHEMERAL_SEQUENTIAL);
      creation.commit((error) => (error ? reject(error) : resolve()));
    });

    await eventually(async () => (await inLine()) === 0, { what: "the undo of the late creation" });
  });

  it("L7 an owner whose answer was lost and that asks again wins, with one node that stays", async () => {
    const { proxy, lock, other, key, inLine } = await through();
    loseAnswers(proxy, "lost");
    await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
    reconnect(proxy);

    const { lease } = await eventually(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" }), { what: "an answer" });

    expect(lease).toEqual({ key, owner: "lost", ttlMs: TTL_MS });
    // Undoing goes by several steps to the server and back: had it gone on, it would be done long before these.
    for (let count = 0; count < 20; count += 1) expect(lease && (await lock.extend(lease))).toBe(true);
    expect(await inLine()).toBe(1);
    expect((await other.acquire(key, { ttlMs: TTL_MS, owner: "other" })).lease).toBeNull();
    expect(lease && (await lock.release(lease))).toBe(true);
    expect(await inLine()).toBe(0);
  });

  it("L9 a place in the line whose answer was lost holds up nobody, unless its owner asks again", async () => {
    const { proxy, lock, other, key, inLine } = await through();
    const { lease } = await other.acquire(key, { ttlMs: TTL_MS, owner: "holder" });
    loseAnswers(proxy, "lost");
    await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "lost", queue: true })).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
    });
    reconnect(proxy);

    await eventually(async () => (await inLine()) === 1, { what: "the undo of the lost place" });
    await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost", queue: true });

    expect(await inLine()).toBe(2);
    expect(lease && (await other.release(lease))).toBe(true);
    expect((await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost", queue: true })).lease).not.toBeNull();
  });

  it("L2 a release whose answer was lost has freed the key, and again it is false", async () => {
    const { proxy, lock, other, key, inLine } = await through();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" });
    loseAnswers(proxy, "lost");

    await expect(lease && lock.release(lease)).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
    reconnect(proxy);

    expect(await inLine()).toBe(0);
    expect(await eventually(() => lease && lock.release(lease).then(String), { what: "an answer" })).toBe("false");
    expect((await other.acquire(key, { ttlMs: TTL_MS, owner: "other" })).lease).not.toBeNull();
  });

  it("L6 a release that did not reach the server frees the key in the background, though the session lives on", async () => {
    const { proxy, lock, key, inLine } = await through();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" });
    const { lease: kept } = await lock.acquire(`${key}:kept`, { ttlMs: TTL_MS, owner: "kept" });
    void proxy.cutBefore("-lost-");

    await expect(lease && lock.release(lease)).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    await eventually(async () => (await inLine()) === 0, { what: "the key's being free" });
    expect(lease && (await lock.extend(lease))).toBe(false);
    expect(kept && (await lock.extend(kept))).toBe(true);
  });

  it("L7 an owner that asks again while its failed release is made up for keeps what it wins", async () => {
    const { proxy, lock, key, inLine } = await through({ callTimeoutMs: 5_000 });
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" });
    if (lease === null) throw new Error("the key is not free");
    void proxy.cutBefore("-lost-");
    await expect(lock.release(lease)).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });

    const again = await lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" });

    expect(again.lease).toEqual(lease);
    for (let count = 0; count < 20; count += 1) expect(await lock.extend(lease)).toBe(true);
    expect(await inLine()).toBe(1);
    expect(await lock.release(lease)).toBe(true);
  });

  it("L7 a client that repeats requests by itself neither creates twice nor deletes late", async () => {
    const { proxy, lock, key, inLine } = await through({}, { retries: 5 });
    loseAnswers(proxy, "lost");
    await expect(lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
    reconnect(proxy);
    const { lease } = await eventually(() => lock.acquire(key, { ttlMs: TTL_MS, owner: "lost" }), { what: "an answer" });

    // The client waits for a second before it repeats.
    await new Promise((resolve) => setTimeout(resolve, 1_500));

    expect(await inLine()).toBe(1);
    expect(lease && (await lock.extend(lease))).toBe(true);
    expect(lease && (await lock.release(lease))).toBe(true);
    expect(await inLine()).toBe(0);
  });

  it("L6 while the connection hangs all calls end in time, what they asked is undone, and nothing piles up", async () => {
    const { proxy, client, lock, key, inLine } = await through();
    const { lease } = await lock.acquire(`${key}:held`, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    const { pendingQueue, packetQueue } = queuesOf(client);
    proxy.hang();

    const startedAt = performance.now();
    const failed = await Promise.all([
      failure(lock.acquire(key, { ttlMs: TTL_MS, owner: "late" })),
      failure(lock.extend(lease)),
      failure(lock.extendMany?.([lease, lease])),
      failure(lock.release({ ...lease, key, owner: "nobody" })),
    ]);
    const tookMs = performance.now() - startedAt;
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(Array.from({ length: 20 }, () => failure(lock.acquire(key, { ttlMs: TTL_MS, owner: "late" }))));
    }
    const waiting = pendingQueue.length + packetQueue.queue.length;
    proxy.heal();

    expect(failed).toEqual(failed.map(() => expect.objectContaining({ code: "LOCK_UNREACHABLE" })));
    expect(tookMs).toBeLessThan(IN_TIME_MS);
    expect(waiting).toBeLessThan(20);
    await eventually(() => lock.extend(lease), { what: "the extension" });
    await eventually(async () => (await inLine()) === 0, { what: "an empty line" });
  });

  it("L4 names the server and the cause, and no password", async () => {
    const { proxy, lock, key } = await through();
    const port = new URL(proxy.url).port;
    const secretive = zookeeper(() => {
      throw new Error("no client for zookeeper://worker:hunter2@zoo-1");
    });
    proxy.hang();

    const silent = await failure(lock.acquire(key, { ttlMs: TTL_MS, owner: "a" }));
    const clientless = await failure(secretive.acquire(key, { ttlMs: TTL_MS, owner: "a" }));

    expect(silent).toMatchObject({
      message: expect.stringContaining(
        `zookeeper could not acquire "${key}": no answer within 300 ms (client is SYNC_CONNECTED)`,
      ),
      details: {
        backend: "zookeeper",
        nodes: [{ node: expect.stringMatching(`:${port}$`), cause: expect.stringContaining("no answer") }],
      },
    });
    expect(clientless).toMatchObject({ code: "LOCK_UNREACHABLE", details: { backend: "zookeeper", nodes: [{}] } });
    expect(JSON.stringify(clientless) + String(clientless)).not.toContain("hunter2");
  });

  it("L6 without a connection nothing is given to the client, which would queue it without bound", async () => {
    const { proxy, client, lock, key, inLine } = await through();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    proxy.cut();
    await eventually(() => client.getState().name === "DISCONNECTED", { what: "the client's noticing" });

    const failed = await Promise.all([
      ...Array.from({ length: 50 }, () => failure(lock.acquire(`${key}:other`, { ttlMs: TTL_MS, owner: "b" }))),
      failure(lock.extend({ key, owner: "a", ttlMs: TTL_MS })),
      failure(lock.watch?.({ key, owner: "b", mode: "exclusive" }, () => {})),
    ]);
    const queued = queuesOf(client).packetQueue.queue.length;
    proxy.heal();

    expect(failed).toEqual(failed.map(() => expect.objectContaining({ code: "LOCK_UNREACHABLE" })));
    expect(queued).toBe(0);
    await eventually(() => lease && lock.extend(lease), { what: "the extension after the outage" });
    expect(await inLine()).toBe(1);
  });

  // Seen to fail without the memory of a lost connection: a closing client refuses at once and calls itself connected, over and over.
  it("L6 a client that is closed while something must be undone is left in peace", async () => {
    const { client, lock, key, inLine } = await through();
    const requests = countRequests(client, () => client.close());

    const failed = await failure(lock.acquire(key, { ttlMs: TTL_MS, owner: "a" }));

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(await failure(lock.acquire(key, { ttlMs: TTL_MS, owner: "b" }))).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(await inLine()).toBe(0);
    expect(requests()).toBeLessThan(20);
  });
});

/** How many writes a client was given from now on; `first` comes before the first of them. After 1,000 it throws, lest a loop starve the test. */
function countRequests(client: Client, first: () => void): () => number {
  const transaction = client.transaction.bind(client);
  let count = 0;
  client.transaction = () => {
    count += 1;
    if (count === 1) first();
    if (count > 1_000) throw new Error("too many requests");
    return transaction();
  };
  return () => count;
}

/** What the client holds back, and what it has sent that is not answered. */
function queuesOf(client: Client): { pendingQueue: unknown[]; packetQueue: { queue: unknown[] } } {
  return client.connectionManager as unknown as { pendingQueue: unknown[]; packetQueue: { queue: unknown[] } };
}

async function failure(call: Promise<unknown> | undefined): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return undefined;
}
