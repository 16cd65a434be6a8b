import { describe, expect, it } from "vitest";
import { redlock } from "../../src/lock/redlock.ts";
import { at } from "./redis-nodes.ts";
import { type ScriptedNode, scriptedNodes } from "./scripted-node.ts";

const LEASE = { key: "order:1", owner: "a", ttlMs: 60_000 };
const NO_SCRIPT = new Error("NOSCRIPT No matching script. Please use EVAL.");

// Planted once and seen to fail, each by itself: deciding only when every node has answered, no undo of a late yes, undoing or
// repairing or falling back to EVAL whatever the owner wants by then, no check of the time a win took.
describe("redlock and answers that come late", () => {
  it("L5 a vote that comes after most nodes refused is given back", async () => {
    const nodes = await scriptedNodes(3);
    const attempt = redlock(nodes).acquire(LEASE.key, LEASE);
    await answer(nodes, 0, [5_000, "b"]);
    await answer(nodes, 1, [7_000, "b"]);
    expect(await attempt).toEqual({ lease: null, retryAfterMs: 7_000 });
    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha"]);

    await answer(nodes, 2, "yes");

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release evalsha"]);
    expect(at(nodes, 0).log()).toEqual(["acquire evalsha"]);
  });

  it("L7 a late vote of an attempt that failed is not taken from the same owner's next attempt", async () => {
    const nodes = await scriptedNodes(3);
    const lock = redlock(nodes);
    const first = lock.acquire(LEASE.key, LEASE);
    await answer(nodes, 0, [5_000, "b"]);
    await answer(nodes, 1, [5_000, "b"]);
    await first;
    const second = lock.acquire(LEASE.key, LEASE);
    await answer(nodes, 0, "yes", 1);

    await answer(nodes, 2, "yes", 0);
    await answer(nodes, 2, "yes", 1);
    await answer(nodes, 2, "yes", 2);

    expect((await second).lease).toEqual(LEASE);
    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "acquire evalsha"]);
  });

  it("L5 a node that learns of the script too late is not asked again for a key that was given up", async () => {
    const nodes = await scriptedNodes(3);
    const attempt = redlock(nodes).acquire(LEASE.key, LEASE);
    await answer(nodes, 0, [5_000, "b"]);
    await answer(nodes, 1, [5_000, "b"]);
    await attempt;

    await at(at(nodes, 2).calls, 0).fail(NO_SCRIPT);
    await at(at(nodes, 2).calls, 1).fail(NO_SCRIPT);

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release eval"]);
  });

  it("L7 a node that learns of the script too late does not release what the same owner asks for anew", async () => {
    const nodes = await scriptedNodes(1);
    const lock = redlock(nodes);
    const released = lock.release(LEASE).catch((error) => error);
    const acquired = lock.acquire(LEASE.key, LEASE);

    await at(at(nodes, 0).calls, 0).fail(NO_SCRIPT);
    await answer(nodes, 0, "yes", 1);

    expect((await acquired).lease).toEqual(LEASE);
    expect(await released).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(at(nodes, 0).log()).toEqual(["release evalsha", "acquire evalsha"]);
  });

  it("L5 a vote that comes after the lease was released is given back when that node missed the release", async () => {
    const nodes = await scriptedNodes(3);
    const lock = redlock(nodes);
    const acquired = lock.acquire(LEASE.key, LEASE);
    await answer(nodes, 0, "yes");
    await answer(nodes, 1, "yes");
    await acquired;
    const released = lock.release(LEASE);
    await answer(nodes, 0, "yes", 1);
    await answer(nodes, 1, "yes", 1);
    expect(await released).toBe(true);
    await at(at(nodes, 2).calls, 1).fail(new Error("Connection is closed."));

    await answer(nodes, 2, "yes", 0);

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release evalsha"]);
  });

  it("L1 a node that says late that it lost the key gets it back after the lease was extended", async () => {
    const nodes = await scriptedNodes(3);
    const extended = redlock(nodes).extend(LEASE);
    await answer(nodes, 0, "yes");
    await answer(nodes, 1, "yes");
    expect(await extended).toBe(true);

    await answer(nodes, 2, "lost");

    expect(nodes.map((node) => node.log())).toEqual([
      ["extend evalsha"],
      ["extend evalsha"],
      ["extend evalsha", "acquire evalsha"],
    ]);
  });

  it("L5 a node that says late that it lost the key does not get it back after the lease was released", async () => {
    const nodes = await scriptedNodes(3);
    const lock = redlock(nodes);
    const extended = lock.extend(LEASE);
    await answer(nodes, 0, "yes");
    await answer(nodes, 1, "yes");
    expect(await extended).toBe(true);
    const released = lock.release(LEASE);
    await answer(nodes, 0, "yes", 1);
    await answer(nodes, 1, "yes", 1);
    expect(await released).toBe(true);

    await answer(nodes, 2, "lost");

    expect(at(nodes, 2).log()).toEqual(["extend evalsha", "release evalsha"]);
  });

  it("L1 a quorum won too late is not a lease: its votes are given back, and the error says why", async () => {
    const nodes = await scriptedNodes(3);
    let now = 0;
    const clock = { now: () => now, after: () => () => undefined };
    const lock = redlock(nodes, { clock });
    const failed = lock.acquire(LEASE.key, { ...LEASE, ttlMs: 1_000 }).catch((error) => error);
    await answer(nodes, 0, "yes");
    now = 988;

    await answer(nodes, 1, "yes");

    expect(nodes.map((node) => node.log().at(-1))).toEqual(["release evalsha", "release evalsha", "release evalsha"]);
    await answer(nodes, 0, "yes", 1);
    await answer(nodes, 1, "yes", 1);
    expect(await failed).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("988 ms of a ttl of 1000 ms"),
    });
  });

  it("L1 a quorum won with time to spare for the drift of the clocks is a lease", async () => {
    const nodes = await scriptedNodes(3);
    let now = 0;
    const clock = { now: () => now, after: () => () => undefined };
    const acquired = redlock(nodes, { clock }).acquire(LEASE.key, { ...LEASE, ttlMs: 1_000 });
    await answer(nodes, 0, "yes");
    now = 987;

    await answer(nodes, 1, "yes");

    expect((await acquired).lease).toEqual({ ...LEASE, ttlMs: 1_000 });
  });

  it("L1 an extend that took longer than the ttl does not say that the lease holds", async () => {
    const nodes = await scriptedNodes(1);
    let now = 0;
    const clock = { now: () => now, after: () => () => undefined };
    const extended = redlock(nodes, { clock }).extend({ ...LEASE, ttlMs: 1_000 });
    now = 988;

    await Promise.all([expect(extended).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" }), answer(nodes, 0, "yes")]);
  });
});

describe("redlock's wait hint", () => {
  it("L4 is when enough nodes are free, not when all are", async () => {
    const nodes = await scriptedNodes(5);
    const attempt = redlock(nodes).acquire(LEASE.key, LEASE);
    await answer(nodes, 0, "yes");
    await answer(nodes, 1, [9_000, "b"]);
    await answer(nodes, 2, [4_000, "b"]);
    await answer(nodes, 3, [5_000, "b"]);

    await answer(nodes, 0, "yes", 1);

    expect(await attempt).toEqual({ lease: null, retryAfterMs: 5_000 });
  });

  it("L4 is short when the votes are split among several", async () => {
    const nodes = await scriptedNodes(3);
    const attempt = redlock(nodes, { clock: { now: () => 0, after: () => () => undefined } }).acquire(LEASE.key, LEASE);
    await answer(nodes, 0, [59_000, "b"]);

    await answer(nodes, 1, [59_000, "c"]);

    expect(await attempt).toEqual({ lease: null, retryAfterMs: 5 });
  });
});

describe("redlock and nodes that fail", () => {
  it("L4 names each node with its cause, and decides without the silent one when too few can answer", async () => {
    const nodes = await scriptedNodes(2);
    const throwing = {
      evalsha: () => {
        throw new Error("login as redis://user:pa55word@node:9 failed with pa55word");
      },
      eval: async () => "yes",
      options: { host: "node", port: 9, password: "pa55word" },
    };
    const withoutTimers = { now: () => 0, after: () => () => undefined };
    const lock = redlock([at(nodes, 0), throwing, at(nodes, 1)], { clock: withoutTimers });
    const failed = lock.acquire(LEASE.key, LEASE).catch((error) => error);

    await answer(nodes, 0, "OK");

    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect((await failed).details).toEqual({
      backend: "redlock",
      nodes: [
        { node: "node:1", cause: "an answer that is not the script's: string" },
        { node: "node:9", cause: "login as redis://***@node:9 failed with ***" },
        { node: "node:2", cause: "no answer within 0 ms" },
      ],
    });
  });

  it("L4 two answers of three that disagree are contention, not a failure", async () => {
    const nodes = await scriptedNodes(3);
    const attempt = redlock(nodes, { nodeTimeoutMs: 50 }).acquire(LEASE.key, LEASE);
    await answer(nodes, 0, "yes");
    await answer(nodes, 1, [59_000, "b"]);
    await expect.poll(() => at(nodes, 0).log()).toEqual(["acquire evalsha", "release evalsha"]);

    await answer(nodes, 0, "yes", 1);

    expect(await attempt).toEqual({ lease: null, retryAfterMs: expect.any(Number) });
  });

  it("L6 a vote that cannot be given back ends with the time limit all the same", async () => {
    const nodes = await scriptedNodes(3);
    const attempt = redlock(nodes, { nodeTimeoutMs: 50 }).acquire(LEASE.key, LEASE);

    await answer(nodes, 0, "yes");

    await expect(attempt).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(nodes.map((node) => node.log().at(-1))).toEqual(["release evalsha", "release evalsha", "release evalsha"]);
  });
});

/** Answers one command of a node, the first unless told. Resolves once the lock had its turn. */
function answer(nodes: readonly ScriptedNode[], node: number, reply: unknown, call = 0): Promise<void> {
  return at(at(nodes, node).calls, call).answer(reply);
}
