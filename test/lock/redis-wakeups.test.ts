import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LockBackend, LockMode } from "../../src/lock/lock.ts";
import { redis } from "../../src/lock/redis.ts";
import { eventually } from "../support/eventually.ts";
import { at, executions, privateNodes, type RedisNodes, sharedNodes } from "./redis-nodes.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 5_000 };
const TTL_MS = 60_000;

let nodes: RedisNodes;
let client: Redis;
let lock: LockBackend;
let key: string;
beforeAll(async () => {
  nodes = await sharedNodes(1);
  client = at(await nodes.connect(), 0);
});
afterAll(() => nodes[Symbol.asyncDispose]());
beforeEach(async () => {
  key = `{${randomUUID()}}:{`;
  const subscriber = at(await nodes.connect({ connectionName: key }), 0);
  lock = redis(client, { ...PATIENT, prefix: "locks/", subscriber });
});

// Planted once and seen to fail: a subscription for each waiter; no end of it, or one with the first waiter that leaves; telling of
// a reader that leaves others behind, or of what was free already; telling without a subscriber; a release that fails when it may not tell.
describe("redis' wake-ups", () => {
  it("L10 a thousand waiters of a key in one process are one subscription, which ends with the last of them", async () => {
    await using own = await privateNodes(1);
    const [ownClient, ownSubscriber] = (await Promise.all([own.connect(), own.connect()])).flat() as [Redis, Redis];
    const ownLock = redis(ownClient, { ...PATIENT, subscriber: ownSubscriber });
    let wakes = 0;

    const stops = await Promise.all(Array.from({ length: 1_000 }, () => watch(() => wakes++, ownLock)));
    const subscriptions = await executions(ownClient, "subscribe");
    stops.pop()?.();
    await release(ownLock);
    await eventually(() => wakes === 999, { what: "999 wake-ups" });
    for (const stop of stops) stop();

    expect(subscriptions).toBe(1);
    await eventually(async () => (await ownClient.pubsub("CHANNELS")).length === 0, { what: "the end of the subscription" });
  });

  it("L10 who stops waiting twice takes nobody's place", async () => {
    let wakes = 0;
    const stop = await watch(() => {});
    const stay = await watch(() => wakes++);
    stop();
    stop();

    await release();

    await eventually(() => wakes === 1, { what: "the other's wake-up" });
    stay();
  });

  it("L10 who waits again while the subscription is being ended is woken", async () => {
    let wakes = 0;
    const stop = await watch(() => {});
    stop();
    const again = await watch(() => wakes++);

    await release();

    await eventually(() => wakes === 1, { what: "the wake-up" });
    again();
  });

  it("L8 L10 of several readers the last one to leave wakes a writer", async () => {
    const leases = [await take("reader 1", "shared"), await take("reader 2", "shared")];
    let wakes = 0;
    const stop = await watch(() => wakes++);

    await lock.release(at(leases, 0));
    const othersWoken = await otherWakeUp();
    const before = wakes;
    await lock.release(at(leases, 1));

    expect([othersWoken, before]).toEqual([1, 0]);
    await eventually(() => wakes === 1, { what: "the writer's wake-up" });
    stop();
  });

  it("L10 a release that changes nothing wakes nobody", async () => {
    const lease = await take("a", "exclusive");
    let wakes = 0;
    const stop = await watch(() => wakes++);

    await lock.release({ ...lease, owner: "b" });
    const othersWoken = await otherWakeUp();
    const before = wakes;
    await lock.release(lease);
    await lock.release(lease);
    await otherWakeUp();

    expect([othersWoken, before, wakes]).toEqual([1, 0, 1]);
    stop();
  });

  it("L10 a connection that was lost and is back wakes again", async () => {
    let wakes = 0;
    const stop = await watch(() => wakes++);
    const before = await listener();

    await client.client("KILL", "ID", before);

    await eventually(async () => (await listener()) !== before, { what: "the new subscription" });
    await release();
    await eventually(() => wakes === 1, { what: "the wake-up" });
    stop();
  });

  it("L10 tells nobody without a subscriber of its own", async () => {
    let wakes = 0;
    const stop = await watch(() => wakes++);
    const silent = redis(client, { ...PATIENT, prefix: "locks/" });

    await release(silent);
    const othersWoken = await otherWakeUp();

    expect([othersWoken, wakes]).toEqual([1, 0]);
    stop();
  });

  it("L2 who may not publish may release all the same", async () => {
    await using own = await privateNodes(1);
    const admin = at(await own.connect(), 0);
    await admin.call("ACL", "SETUSER", "clerk", "on", ">pa55word", "~*", "+@all", "resetchannels");
    const { host, port } = at(own.servers, 0);
    const clerk = new Redis({ host, port, username: "clerk", password: "pa55word" });
    const clerks = redis(clerk, { ...PATIENT, subscriber: admin });
    const { lease } = await clerks.acquire(key, { ttlMs: TTL_MS, owner: "a" });

    const released = lease && (await clerks.release(lease));
    clerk.disconnect();

    expect(released).toBe(true);
    expect(await admin.exists(key)).toBe(0);
  });

  it("L4 who cannot listen is told so, and can once it may", async () => {
    await using own = await privateNodes(1);
    const [ownClient, ownSubscriber] = (await Promise.all([own.connect(), own.connect()])).flat() as [Redis, Redis];
    const ownLock = redis(ownClient, { ...PATIENT, subscriber: ownSubscriber });
    await ownClient.call("ACL", "SETUSER", "default", "resetchannels");

    const refused = await watch(() => {}, ownLock).catch((error) => error);
    await ownClient.call("ACL", "SETUSER", "default", "allchannels");
    let wakes = 0;
    const stop = await watch(() => wakes++, ownLock);
    await release(ownLock);

    expect(refused).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("NOPERM") });
    await eventually(() => wakes === 1, { what: "the wake-up" });
    stop();
  });
});

function watch(wake: () => void, backend = lock): Promise<() => void> {
  return backend.watch?.({ key, owner: "waiter", mode: "exclusive" }, wake) ?? Promise.reject(new Error("no wake-ups"));
}

async function take(owner: string, mode: LockMode, backend = lock) {
  const { lease } = await backend.acquire(key, { ttlMs: TTL_MS, owner, mode });
  if (lease === null) throw new Error("the key is held");
  return lease;
}

/** Takes the key and gives it back. */
async function release(backend = lock): Promise<void> {
  await backend.release(await take("holder", "exclusive", backend));
}

/** Resolves once a wake-up of another key has come over the same connection: with it came all that were told of before. */
async function otherWakeUp(): Promise<number> {
  let wakes = 0;
  const other = `${key} other`;
  const stop = await lock.watch?.({ key: other, owner: "waiter", mode: "exclusive" }, () => wakes++);
  const { lease } = await lock.acquire(other, { ttlMs: TTL_MS, owner: "holder" });
  if (lease !== null) await lock.release(lease);
  await eventually(() => wakes > 0, { what: "the other key's wake-up" });
  stop?.();
  return wakes;
}

/** The id that the server gave to the connection that listens. Throws while there is none with a subscription. */
async function listener(): Promise<number> {
  const list = String(await client.call("CLIENT", "LIST", "TYPE", "pubsub"));
  const line = list.split("\n").find((entry) => entry.includes(`name=${key} `) && entry.includes(" sub=1 "));
  if (line === undefined) throw new Error("nobody listens");
  return Number(/id=(\d+)/.exec(line)?.[1]);
}
