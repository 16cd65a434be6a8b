import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { setImmediate } from "node:timers/promises";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LockBackend } from "../../src/lock/lock.ts";
import { redlock } from "../../src/lock/redlock.ts";
import type { RedisSubscriber } from "../../src/lock/redlock-nodes.ts";
import { eventually } from "../support/eventually.ts";
import { at, privateNodes, type RedisNodes, sharedNodes } from "./redis-nodes.ts";

const TTL_MS = 60_000;
/** So that a machine busy with other tests is not taken for nodes that do not answer. */
const PATIENT = { nodeTimeoutMs: 5_000 };
const CHANNEL = "exclaim:released:key";

let nodes: RedisNodes;
beforeAll(async () => {
  nodes = await sharedNodes(3);
});
afterAll(() => nodes[Symbol.asyncDispose]());

// Planted once and seen to fail: waking at the first node's message, or at every one; votes given back told of; a quorum asked for
// although a node is not heard; releases of several holders counted together; waiting for every node's confirmation.
describe("redlock's wake-ups", () => {
  it("L10 wakes a waiter once for each release, when the key can be won", async () => {
    const { lock, subscribers } = await connect();
    const key = randomUUID();
    let wakes = 0;
    const stop = await watch(lock, key, () => wakes++);

    const won: unknown[] = [];
    for (const owner of ["a", "b", "a"]) {
      await release(lock, key, owner);
      const expected = won.length + 1;
      await eventually(() => wakes >= expected, { what: `wake-up ${expected}` });
      const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "waiter" });
      won.push(lease?.owner);
      if (lease !== null) await redlock(await nodes.connect(), PATIENT).release(lease);
    }
    stop();

    expect(won).toEqual(["waiter", "waiter", "waiter"]);
    await everythingHeard(await nodes.connect(), subscribers);
    expect(wakes).toBe(3);
    const [client] = await nodes.connect();
    await eventually(async () => (await client?.pubsub("CHANNELS", `*${key}`))?.length === 0, { what: "its end" });
  });

  it("L10 votes that are given back wake nobody, or contenders would wake each other for ever", async () => {
    await using own = await privateNodes(3);
    const [clients, subscribers] = await Promise.all([own.connect(), own.connect()]);
    await at(clients, 0).set("key", "another program");
    // With it unheard, one node's word is enough.
    at(own.servers, 1).hang();
    const lock = redlock(clients, { nodeTimeoutMs: 500, subscribers });
    let wakes = 0;
    const stop = await watch(lock, "key", () => wakes++);

    const attempt = await lock.acquire("key", { ttlMs: TTL_MS, owner: "a" });
    const left = await at(clients, 2).get("key");

    await everythingHeard([at(clients, 2)], [at(subscribers, 2)]);
    expect([attempt.lease, left]).toEqual([null, null]);
    expect(wakes).toBe(0);
    stop();
  });

  it("L6 L10 one hung node of three neither holds a waiter up nor keeps it from being woken", async () => {
    await using own = await privateNodes(3);
    const lock = redlock(await own.connect(), { ...PATIENT, subscribers: await own.connect() });
    const key = randomUUID();
    let wakes = 0;
    at(own.servers, 1).hang();
    const startedAt = performance.now();

    const stop = await watch(lock, key, () => wakes++);
    const tookMs = performance.now() - startedAt;
    await release(lock, key, "a");

    expect(tookMs).toBeLessThan(2_500);
    await eventually(() => wakes === 1, { what: "the wake-up" });
    stop();
  });

  it("L4 L6 too few nodes that can be listened to are named in time, and nothing stays", async () => {
    await using own = await privateNodes(3);
    const subscribers = await own.connect();
    const lock = redlock(await own.connect(), { nodeTimeoutMs: 300, subscribers });
    for (const server of own.servers.slice(1)) server.hang();

    const failed = await watch(lock, "key", () => {}).catch((error) => error);
    for (const server of own.servers) server.resume();

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("1 of 3 nodes") });
    expect(failed.details.nodes).toEqual(
      own.servers.slice(1).map(({ port }) => ({
        node: `127.0.0.1:${port}`,
        cause: expect.stringMatching(/^no answer within 300 ms \(subscriber is/),
      })),
    );
    expect(subscribers.map((subscriber) => subscriber.listenerCount("message"))).toEqual([0, 0, 0]);
    const admins = await own.connect();
    await eventually(async () => (await Promise.all(admins.map((admin) => admin.pubsub("CHANNELS")))).flat().length === 0);
  });

  it("tells nobody without subscribers, and says so", async () => {
    const lock = redlock(await nodes.connect(), PATIENT);
    const { lock: watching, subscribers } = await connect();
    const key = randomUUID();
    let wakes = 0;
    const stop = await watch(watching, key, () => wakes++);

    await release(lock, key, "a");

    await everythingHeard(await nodes.connect(), subscribers);
    expect(wakes).toBe(0);
    expect([lock.capabilities.push, lock.watch, watching.capabilities.push]).toEqual([false, undefined, true]);
    stop();
  });

  it.each([
    ["too few of them", 2, /a subscriber for each of its 3 clients/],
    ["a client among them", "client", /subscribers\[2\] is in use, take client\.duplicate\(\)/],
    ["one twice", "twice", /subscribers\[2\] is in use/],
    ["something else", "other", /subscribers\[2\] is none/],
  ] as const)("refuses subscribers that are wrong: %s", async (_what, wrong, message) => {
    const clients = await nodes.connect();
    const own = await nodes.connect();
    const wrongOnes = { client: clients[0], twice: own[0], other: {} as Redis };
    const subscribers = typeof wrong === "number" ? own.slice(0, wrong) : [own[0], own[1], wrongOnes[wrong]];

    expect(() => redlock(clients, { subscribers: subscribers as Redis[] })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(message) }),
    );
  });
});

describe("redlock's count of what nodes tell", () => {
  it("L10 is a quorum of one holder's release, whichever releases nodes tell of in between", async () => {
    const { lock, ears } = scripted(3);
    let wakes = 0;
    const watching = watch(lock, "key", () => wakes++);
    for (const ear of ears) ear.confirm();
    await watching;

    at(ears, 0).tell("a");
    at(ears, 0).tell("b");
    const afterOne = wakes;
    at(ears, 1).tell("a");
    const afterTwo = wakes;
    at(ears, 2).tell("a");
    at(ears, 1).tell("b");

    expect([afterOne, afterTwo, wakes]).toEqual([0, 1, 2]);
  });

  it("L10 needs the fewer nodes the fewer are heard, for the others may be those that were asked", async () => {
    const { lock, ears } = scripted(5);
    let wakes = 0;
    const watching = watch(lock, "key", () => wakes++);
    for (const ear of ears.slice(0, 3)) ear.confirm();
    await watching;

    at(ears, 0).tell("a");
    const afterOne = wakes;
    at(ears, 3).confirm();
    await setImmediate();
    at(ears, 0).tell("b");
    const afterOneOfFour = wakes;
    at(ears, 1).tell("b");

    expect([afterOne, afterOneOfFour, wakes]).toEqual([1, 1, 2]);
  });

  it("L4 is impossible as soon as a quorum refuses, and says why without passwords", async () => {
    const { lock, ears } = scripted(3);
    const failed = watch(lock, "key", () => {}).catch((error) => error);

    at(ears, 0).refuse("login as redis://user:pa55word@node:1 failed with pa55word");
    at(ears, 1).refuse("NOPERM");

    expect((await failed).details.nodes).toEqual([
      { node: "node:1", cause: "login as redis://***@node:1 failed with ***" },
      { node: "node:2", cause: "NOPERM" },
      { node: "node:3", cause: "no answer within 5000 ms" },
    ]);
  });
});

/** A connection to listen on whose node says what the test tells it to. */
interface Ear extends RedisSubscriber {
  confirm(): void;
  refuse(message: string): void;
  tell(owner: string): void;
}

function scripted(count: number): { readonly lock: LockBackend; readonly ears: readonly Ear[] } {
  const ears = Array.from({ length: count }, (): Ear => {
    const events = new EventEmitter();
    let settle: { resolve(): void; reject(error: Error): void } | undefined;
    return {
      on: (event, listener) => events.on(event, listener),
      off: (event, listener) => events.off(event, listener),
      subscribe: () => new Promise<void>((resolve, reject) => (settle = { resolve, reject })),
      unsubscribe: async () => undefined,
      options: { password: "pa55word" },
      confirm: () => settle?.resolve(),
      refuse: (message) => settle?.reject(new Error(message)),
      tell: (owner) => events.emit("message", CHANNEL, owner),
    };
  });
  const clients = ears.map((_, index) => ({
    evalsha: async () => "yes",
    eval: async () => "yes",
    options: { host: "node", port: index + 1 },
  }));
  return { ears, lock: redlock(clients, { ...PATIENT, subscribers: ears }) };
}

async function connect() {
  const [clients, subscribers] = await Promise.all([nodes.connect(), nodes.connect()]);
  return { clients, subscribers, lock: redlock(clients, { ...PATIENT, subscribers }) };
}

function watch(lock: LockBackend, key: string, wake: () => void): Promise<() => void> {
  return lock.watch?.({ key, owner: "waiter", mode: "exclusive" }, wake) ?? Promise.reject(new Error("no wake-ups"));
}

/** Takes the key and gives it back. */
async function release(lock: LockBackend, key: string, owner: string): Promise<void> {
  const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner });
  if (lease === null) throw new Error("the key is held");
  await lock.release(lease);
}

/** Resolves once a message sent now has come over each connection: with it came all that were sent before. */
async function everythingHeard(senders: readonly Redis[], subscribers: readonly Redis[]): Promise<void> {
  const channel = randomUUID();
  const heard = subscribers.map(
    (subscriber) =>
      new Promise<void>((resolve) => subscriber.on("message", (name) => (name === channel ? resolve() : undefined))),
  );
  await Promise.all(subscribers.map((subscriber) => subscriber.subscribe(channel)));
  await Promise.all(senders.map((sender) => sender.publish(channel, "")));
  await Promise.all(heard);
}
