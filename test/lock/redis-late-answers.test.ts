import { describe, expect, it } from "vitest";
import { type RedisLockOptions, redis } from "../../src/lock/redis.ts";
import { ACQUIRE, ACQUIRE_SHARED, EXTEND, RELEASE } from "../../src/lock/redis-scripts.ts";
import { at } from "./redis-nodes.ts";
import { NO_SCRIPT, type ScriptedClient, scriptedClient, standingClock } from "./scripted-client.ts";

const LEASE = { key: "order:1", owner: "a", ttlMs: 60_000 };

const NAMES = new Map(
  Object.entries({ acquire: ACQUIRE, "acquire shared": ACQUIRE_SHARED, extend: EXTEND, release: RELEASE }).flatMap(
    ([name, { sha, text }]) => [
      [sha, name],
      [text, name],
    ],
  ),
);

// Planted once and seen to fail, each by itself: no undo after the time limit, or after an error; no undo of a late win; undoing a
// late win whatever the owner wants by then; falling back to EVAL after the time limit; no check of the time a win took.
describe("redis and answers that come late", () => {
  it("L5 L6 an acquire that is not answered in time is given back at once, and again when it has won late", async () => {
    const { client, lock } = open({ callTimeoutMs: 30 });

    const failed = await lock.acquire(LEASE.key, LEASE).catch((error) => error);
    const before = client.log();
    await answer(client, 0, "yes");

    expect(failed).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: 'redis could not acquire "order:1": node:1: no answer within 30 ms',
      details: { backend: "redis", nodes: [{ node: "node:1", cause: "no answer within 30 ms" }] },
    });
    expect(before).toEqual(["acquire evalsha", "release eval"]);
    expect(client.log()).toEqual(["acquire evalsha", "release eval", "release eval"]);
  });

  it("L5 a late refusal is left at that", async () => {
    const { client, lock } = open({ callTimeoutMs: 30 });
    await lock.acquire(LEASE.key, { ...LEASE, mode: "shared" }).catch(() => undefined);

    await answer(client, 0, 5_000);

    expect(client.log()).toEqual(["acquire shared evalsha", "release eval"]);
  });

  it("L5 an acquire whose answer was lost is given back", async () => {
    const { client, lock } = open();
    const failed = lock.acquire(LEASE.key, LEASE).catch((error) => error);

    await at(client.commands, 0).fail("Connection is closed.");

    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("Connection is closed.") });
    expect(client.log()).toEqual(["acquire evalsha", "release eval"]);
  });

  it("L7 a late win is not taken from the same owner's next attempt", async () => {
    const { client, lock } = open({ callTimeoutMs: 30 });
    await lock.acquire(LEASE.key, LEASE).catch(() => undefined);
    const second = lock.acquire(LEASE.key, LEASE);

    await answer(client, 0, "yes");
    await answer(client, 2, "yes");

    expect((await second).lease).toEqual(LEASE);
    expect(client.log()).toEqual(["acquire evalsha", "release eval", "acquire evalsha"]);
  });

  it("L5 a late win is given back when its owner has released the key meanwhile", async () => {
    const { client, lock } = open({ callTimeoutMs: 30 });
    await lock.acquire(LEASE.key, LEASE).catch(() => undefined);
    const second = lock.acquire(LEASE.key, LEASE);
    await answer(client, 2, "yes");
    await second;
    const released = lock.release(LEASE);
    await answer(client, 3, 1);
    await released;

    await answer(client, 0, "yes");

    expect(client.log().slice(2)).toEqual(["acquire evalsha", "release evalsha", "release eval"]);
  });

  it("L5 a script that the server does not know is sent as text while the call waits, and not after it", async () => {
    const { client, lock } = open({ callTimeoutMs: 300 });
    const inTime = lock.acquire(LEASE.key, LEASE);
    await at(client.commands, 0).fail(NO_SCRIPT);
    await answer(client, 1, "yes");
    await inTime;

    const late = lock.release(LEASE).catch((error) => error);
    await late;
    await at(client.commands, 2).fail(NO_SCRIPT);

    expect(await late).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(client.log()).toEqual(["acquire evalsha", "acquire eval", "release evalsha"]);
  });

  it.each([
    [987, true],
    [988, false],
  ])("L1 a win that took %i ms of a ttl of 1000, beside what clocks may drift, is a lease: %s", async (tookMs, isLease) => {
    const clock = standingClock();
    const { client, lock } = open({ clock });
    const attempt = lock.acquire(LEASE.key, { ...LEASE, ttlMs: 1_000 }).catch((error) => error);
    clock.move(tookMs);

    await answer(client, 0, "yes");

    if (isLease) {
      expect(await attempt).toEqual({ lease: { ...LEASE, ttlMs: 1_000 } });
      return;
    }
    expect(await attempt).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("988 ms of a ttl of 1000"),
    });
    expect(client.log()).toEqual(["acquire evalsha", "release eval"]);
  });

  it("L1 an extension that took longer than the ttl does not say that the lease holds", async () => {
    const clock = standingClock();
    const { client, lock } = open({ clock });
    const extended = lock.extend({ ...LEASE, ttlMs: 1_000 }).catch((error) => error);
    clock.move(988);

    await answer(client, 0, [1]);

    expect(await extended).toMatchObject({ code: "LOCK_UNREACHABLE" });
  });

  it.each([
    ["acquire", { status: "not the script's" }],
    ["extend", "OK"],
    ["extend", [1, 1]],
  ] as const)("L4 an answer to %s that is not the script's is a failure: %j", async (verb, reply) => {
    const { client, lock } = open();
    const failed = (verb === "acquire" ? lock.acquire(LEASE.key, LEASE) : lock.extend(LEASE)).catch((error) => error);

    await answer(client, 0, reply);

    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("not the script's") });
  });
});

describe("redis and its replicas", () => {
  it("L1 a win that too few replicas confirm is given back, and the error says how many did", async () => {
    const { client, lock } = open({ replicas: { count: 2, timeoutMs: 100 } });
    const failed = lock.acquire(LEASE.key, LEASE).catch((error) => error);
    await answer(client, 0, "yes");

    await answer(client, 1, 1);

    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("1 of 2 replicas") });
    expect(at(client.commands, 1).args).toEqual([2, 100]);
    expect(client.log()).toEqual(["acquire evalsha", "wait", "release eval"]);
  });

  it("L1 a win that enough of them confirm is a lease, and a refusal waits for none", async () => {
    const { client, lock } = open({ replicas: { count: 2, timeoutMs: 100 } });
    const won = lock.acquire(LEASE.key, LEASE);
    await answer(client, 0, "yes");
    await answer(client, 1, 2);
    const refused = lock.acquire(LEASE.key, { ...LEASE, owner: "b" });
    await answer(client, 2, 5_000);

    expect(await won).toEqual({ lease: LEASE });
    expect(await refused).toEqual({ lease: null, retryAfterMs: 5_000 });
    expect(client.log()).toEqual(["acquire evalsha", "wait", "acquire evalsha"]);
  });

  it("L6 a wait that never ends is ended", async () => {
    const { client, lock } = open({ replicas: { count: 1, timeoutMs: 20 }, callTimeoutMs: 30 });
    const failed = lock.acquire(LEASE.key, LEASE).catch((error) => error);

    await answer(client, 0, "yes");

    expect(await failed).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("no answer within 50 ms"),
    });
    expect(client.log()).toEqual(["acquire evalsha", "wait", "release eval"]);
  });
});

function open(options: RedisLockOptions = {}) {
  const client = scriptedClient(NAMES);
  return { client, lock: redis(client, { callTimeoutMs: 5_000, ...options }) };
}

function answer(client: ScriptedClient, command: number, reply: unknown): Promise<void> {
  return at(client.commands, command).answer(reply);
}
