import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type FromRedlockOptions, fromRedlock } from "../../src/lock/node-redlock.ts";
import type { Redlock4, Redlock5 } from "../../src/lock/node-redlock-instance.ts";
import { VERSIONS } from "./published-redlock.ts";
import { at } from "./redis-nodes.ts";
import { type Command, NO_SCRIPT, type ScriptedClient, scriptedClient, standingClock } from "./scripted-client.ts";

const LEASE = { key: "order:1", owner: "a", ttlMs: 60_000 };

// Planted once and seen to fail, each by itself: the instance's own retries; deciding only when every node has answered; no undo of a late yes, or undoing it
// whatever the owner wants by then; letting the instance fall back to EVAL for what is over; letting it undo by itself; no check of
// the time a win took.
describe.each(VERSIONS)("fromRedlock and answers that come late, redlock $version", ({ create }) => {
  it("L5 decides by the first two of three that agree, and gives a later vote back", async () => {
    const { nodes, lock } = open(create, { clock: standingClock() });
    const attempt = lock.acquire(LEASE.key, LEASE);
    await refuse(at(nodes, 0), 5_000);
    await refuse(at(nodes, 1), 7_000);
    expect(await attempt).toEqual({ lease: null, retryAfterMs: 7_000 });
    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha"]);

    await answer(at(nodes, 2), 0, 1);

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release evalsha"]);
    expect(at(nodes, 0).log()).toEqual(["acquire evalsha", "get", "pttl"]);
  });

  it("L1 wins with two of three, and takes nothing back when the third is late or refuses", async () => {
    const { nodes, lock } = open(create, { clock: standingClock() });
    const attempt = lock.acquire(LEASE.key, LEASE);
    await answer(at(nodes, 0), 0, 1);
    await answer(at(nodes, 1), 0, 1);
    expect(await attempt).toEqual({ lease: LEASE });

    await answer(at(nodes, 2), 0, 0);

    expect(nodes.map((node) => node.log())).toEqual([["acquire evalsha"], ["acquire evalsha"], ["acquire evalsha"]]);
  });

  it("L5 does not go on trying behind the caller's back", async () => {
    const { nodes, lock } = open((clients) => create(clients, { retryCount: 10, retryDelay: 1, retryJitter: 0 }));
    const attempt = lock.acquire(LEASE.key, LEASE);
    for (const node of nodes) await refuse(node, 5_000);
    await attempt;

    await delay(50);

    expect(nodes.map((node) => node.log())).toEqual([
      ["acquire evalsha", "get", "pttl"],
      ["acquire evalsha", "get", "pttl"],
      ["acquire evalsha", "release evalsha"],
    ]);
  });

  it("L7 a late vote of an attempt that failed is not taken from the same owner's next attempt", async () => {
    const { nodes, lock } = open(create);
    const first = lock.acquire(LEASE.key, LEASE);
    await refuse(at(nodes, 0), 5_000);
    await refuse(at(nodes, 1), 5_000);
    await first;
    const second = lock.acquire(LEASE.key, LEASE);
    await answer(at(nodes, 0), 3, 1);

    await answer(at(nodes, 2), 0, 1);
    await answer(at(nodes, 2), 2, 1);

    expect((await second).lease).toEqual(LEASE);
    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "acquire evalsha"]);
  });

  it("L5 a node that learns of the script too late is not asked again for a key that was given up", async () => {
    const { nodes, lock } = open(create);
    const attempt = lock.acquire(LEASE.key, LEASE);
    await refuse(at(nodes, 0), 5_000);
    await refuse(at(nodes, 1), 5_000);
    await attempt;

    await at(at(nodes, 2).commands, 0).fail(NO_SCRIPT);
    await at(at(nodes, 2).commands, 1).fail(NO_SCRIPT);
    await setImmediate();

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release eval"]);
  });

  it("L5 a vote that comes after the lease was released is given back when that node missed the release", async () => {
    const { nodes, lock } = open(create);
    const acquired = lock.acquire(LEASE.key, LEASE);
    await answer(at(nodes, 0), 0, 1);
    await answer(at(nodes, 1), 0, 1);
    await acquired;
    const released = lock.release(LEASE);
    await answer(at(nodes, 0), 1, 1);
    await answer(at(nodes, 1), 1, 1);
    expect(await released).toBe(true);
    await at(at(nodes, 2).commands, 1).fail("Connection is closed.");

    await answer(at(nodes, 2), 0, 1);

    expect(at(nodes, 2).log()).toEqual(["acquire evalsha", "release evalsha", "release evalsha"]);
  });

  it.each([
    [987, true],
    [988, false],
  ])("L1 a win that took %i ms of a ttl of 1000, beside what clocks may drift, is a lease: %s", async (tookMs, isLease) => {
    const clock = standingClock();
    const { nodes, lock } = open(create, { clock });
    const attempt = lock.acquire(LEASE.key, { ...LEASE, ttlMs: 1_000 }).catch((error) => error);
    await answer(at(nodes, 0), 0, 1);
    clock.move(tookMs);

    await answer(at(nodes, 1), 0, 1);

    if (isLease) {
      expect(await attempt).toEqual({ lease: { ...LEASE, ttlMs: 1_000 } });
      return;
    }
    expect(nodes.map((node) => node.log().at(-1))).toEqual(["release evalsha", "release evalsha", "release evalsha"]);
    await answer(at(nodes, 0), 1, 1);
    await answer(at(nodes, 1), 1, 1);
    expect(await attempt).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("988 ms of a ttl of 1000"),
    });
  });

  it("L1 an extension that fails does not make the instance give the key back", async () => {
    const { nodes, lock } = open(create);
    const extended = lock.extend(LEASE).catch((error) => error);
    await at(at(nodes, 0).commands, 0).fail("Connection is closed.");
    await at(at(nodes, 1).commands, 0).fail("Connection is closed.");

    await answer(at(nodes, 2), 0, 1);

    expect(await extended).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(nodes.map((node) => node.log())).toEqual([["extend evalsha"], ["extend evalsha"], ["extend evalsha"]]);
  });

  it("L4 the hint is when enough nodes are free, and short when the votes are split", async () => {
    const { nodes, lock } = open(create, { clock: standingClock() }, 5);
    const attempt = lock.acquire(LEASE.key, LEASE);
    await answer(at(nodes, 0), 0, 1);
    await refuse(at(nodes, 1), 9_000);
    await refuse(at(nodes, 2), 4_000);
    await refuse(at(nodes, 3), 5_000);
    await answer(at(nodes, 0), 1, 1);
    const split = open(create, { clock: standingClock() });
    const torn = split.lock.acquire(LEASE.key, LEASE);
    await refuse(at(split.nodes, 0), 59_000, "b");
    await refuse(at(split.nodes, 1), 59_000, "c");

    expect(await attempt).toEqual({ lease: null, retryAfterMs: 5_000 });
    expect(await torn).toEqual({ lease: null, retryAfterMs: 5 });
  });

  it("L4 names each node with its cause, without passwords, and does not wait for the silent one", async () => {
    const { nodes, lock } = open(create, { clock: standingClock() });
    const failed = lock.acquire(LEASE.key, LEASE).catch((error) => error);
    await at(at(nodes, 0).commands, 0).fail("login as redis://user:pa55word@node:9 failed");

    // What a client of another library returns that takes callbacks alone.
    await answer(at(nodes, 1), 0, true);

    expect((await failed).details).toEqual({
      backend: "node-redlock",
      nodes: [
        { node: "node:1", cause: "login as redis://***@node:9 failed" },
        { node: "node:2", cause: "an answer that is not the script's: boolean" },
        { node: "node:3", cause: "no answer within 0 ms" },
      ],
    });
  });

  it("L6 holders that cannot be seen delay a refusal no longer than the time limit", async () => {
    const { nodes, lock } = open(create, { callTimeoutMs: 50 });
    const attempt = lock.acquire(LEASE.key, LEASE);

    await answer(at(nodes, 0), 0, 0);
    await answer(at(nodes, 1), 0, 0);

    expect(await attempt).toEqual({ lease: null, retryAfterMs: expect.any(Number) });
    expect(at(nodes, 0).log()).toEqual(["acquire evalsha", "get", "pttl"]);
  });
});

describe("fromRedlock and instances that are not what they seem", () => {
  it("L1 one that sets values of its own never reaches a node", async () => {
    const node = scriptedClient(new Map());
    const stranger = instanceOf([node], (clients) => at(clients, 0).evalsha("sha", 1, "order:1", "its own value", 60_000));

    const error = await fromRedlock(stranger)
      .acquire(LEASE.key, LEASE)
      .catch((thrown) => thrown);

    expect(error).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("does not let the value") });
    expect(node.log()).toEqual([]);
  });

  it("L4 what it throws before it asks a node is the cause for each", async () => {
    const stranger = instanceOf([scriptedClient(new Map())], () => {
      throw new Error("no such setting");
    });

    const error = await fromRedlock(stranger)
      .acquire(LEASE.key, LEASE)
      .catch((thrown) => thrown);

    expect(error).toMatchObject({ details: { nodes: [{ node: "node:1", cause: "no such setting" }] } });
  });

  it("L6 one that does nothing at all ends at the time limit", async () => {
    const stranger = instanceOf([scriptedClient(new Map())], () => new Promise(() => {}));

    const error = await fromRedlock(stranger, { callTimeoutMs: 50 })
      .acquire(LEASE.key, LEASE)
      .catch((thrown) => thrown);

    expect(error).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("no answer within") });
  });
});

/** An instance of the shape of version 5 that does something else. */
function instanceOf(clients: readonly ScriptedClient[], act: (clients: readonly ScriptedClient[]) => unknown): Redlock5 {
  const instance = {
    clients,
    async acquire(this: { clients: readonly ScriptedClient[] }) {
      return act(this.clients);
    },
    extend: async () => undefined,
    release: async () => undefined,
    _random: () => "its own value",
  };
  return instance;
}

function open(create: (clients: readonly object[]) => Redlock4 | Redlock5, options: FromRedlockOptions = {}, count = 3) {
  const names = new Map<string, string>();
  const nodes = Array.from({ length: count }, (_, index) => scriptedClient(names, index + 1));
  const instance = create(nodes);
  const { scripts } = instance as unknown as { scripts: Record<string, { value: string; hash: string }> };
  const known: Record<string, string> = { lockScript: "acquire", unlockScript: "release" };
  for (const [name, { value, hash }] of Object.entries(scripts)) {
    for (const text of [value, hash]) names.set(text, known[name] ?? name.replace("Script", ""));
  }
  return { nodes, lock: fromRedlock(instance, { callTimeoutMs: 5_000, ...options }) };
}

/** Answers one command of a node. Resolves once everybody had their turn. */
async function answer(node: ScriptedClient, command: number, reply: unknown): Promise<void> {
  await at(node.commands, command).answer(reply);
  await setImmediate();
}

/** Says that somebody holds the key, and when asked who, and how long. */
async function refuse(node: ScriptedClient, remainingMs: number, holder = "b"): Promise<void> {
  const isOpen = (command: Command) => command.what === "acquire evalsha";
  await answer(node, node.commands.findIndex(isOpen), 0);
  const [get, pttl] = [node.log().indexOf("get"), node.log().indexOf("pttl")];
  if (get === -1) return;
  await answer(node, get, holder);
  await answer(node, pttl, remainingMs);
}
