import { randomUUID } from "node:crypto";
import zookeeperClient from "node-zookeeper-client";
import { afterEach, describe, expect, it } from "vitest";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import { zookeeper as service } from "../support/services/zookeeper.ts";
import { sharedUrls } from "../support/shared-urls.ts";
import { type ClientOptions, closeClient, inspectZookeeper, openClient } from "./zookeeper-clients.ts";

const TTL_MS = 20_000;

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

async function open(options?: ClientOptions) {
  const client = await openClient(sharedUrls(service), options);
  opened.push({ close: () => closeClient(client) });
  return client;
}

async function inspect(root: string) {
  const inspector = await inspectZookeeper(sharedUrls(service), root);
  opened.push(inspector);
  return inspector;
}

describe("zookeeper settings", () => {
  it.each([
    ["no client", () => zookeeper(undefined as never), /needs a client of node-zookeeper-client/],
    ["something else", () => zookeeper({} as never), /needs a client of node-zookeeper-client/],
  ])("refuses %s", (_what, create, message) => {
    expect(create).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(message) }));
  });

  it.each(["", "locks", "/locks/", "//locks", "/a/../b", "/a/.", "/a\0b", "/a\nb"])("refuses the root %j", async (root) => {
    const client = await open();

    const create = () => zookeeper(client, { root });

    expect(create).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("absolute path") }),
    );
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses %d ms as a time limit and as a ttl", async (ms) => {
    const client = await open();

    const create = () => zookeeper(client, { callTimeoutMs: ms });
    const acquiring = zookeeper(client).acquire("key", { ttlMs: ms, owner: "a" });

    expect(create).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    await expect(acquiring).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("ttlMs") });
  });

  it("refuses a lease that is longer than the session that the server granted, and says what to do", async () => {
    const lock = zookeeper(await open({ sessionMs: 5_000 }));

    const fitting = await lock.acquire(randomUUID(), { ttlMs: 5_000, owner: "a" });
    const acquiring = lock.acquire(randomUUID(), { ttlMs: 5_001, owner: "a" });

    await expect(acquiring).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(
        /the server granted this client 5000 ms: set ttlMs to 5000 or less, or .* longer sessionTimeout/,
      ),
    });
    expect(fitting.lease).not.toBeNull();
  });

  it("refuses a second mode for one owner, which keeps the first", async () => {
    const lock = zookeeper(await open());
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a", mode: "shared" });

    const acquiring = lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });

    await expect(acquiring).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("shared mode") });
    expect(lease && (await lock.extend(lease))).toBe(true);
  });

  it("makes a root of several parts, and keeps everything under it", async () => {
    const root = `/test-${randomUUID()}/locks`;
    const inspector = await inspect(root);
    const lock = zookeeper(await open(), { root });

    const { lease } = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });

    expect(lease).not.toBeNull();
    expect(await inspector.holders("order:1")).toBe(1);
  });

  it("L1 keeps locks apart that have different roots", async () => {
    const client = await open();
    const key = randomUUID();

    const attempts = await Promise.all(
      ["/test-a", "/test-b"].map((root) => zookeeper(client, { root }).acquire(key, { ttlMs: TTL_MS, owner: "a" })),
    );

    expect(attempts.filter(({ lease }) => lease === null)).toEqual([]);
  });

  it("works below the chroot of a connection string, and says so when that is not there", async () => {
    const root = `/chroot-${randomUUID()}`;
    const inspector = await inspect(`${root}/exclaim-locks`);
    const lock = zookeeper(await open({ chroot: root }));

    const acquiring = lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });

    await expect(acquiring).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("chroot") });
    await new Promise((resolve) => inspector.client.create(root, Buffer.alloc(0), 0, resolve));
    const { lease } = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    expect(await inspector.holders("order:1")).toBe(1);
    expect(lease && (await lock.extend(lease))).toBe(true);
    expect(lease && (await lock.release(lease))).toBe(true);
    expect(await inspector.holders("order:1")).toBe(0);
  });

  it("gives all it makes the ACLs it was given", async () => {
    const root = `/test-${randomUUID()}`;
    const client = await open();
    client.addAuthInfo("digest", Buffer.from("worker:hunter2"));
    const lock = zookeeper(client, { root, acl: zookeeperClient.ACL.CREATOR_ALL_ACL });
    const stranger = zookeeper(await open(), { root });

    const { lease } = await lock.acquire("order:1", { ttlMs: TTL_MS, owner: "a" });
    const refused = await stranger.acquire("order:1", { ttlMs: TTL_MS, owner: "b" }).catch((error) => error);

    expect(refused).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { nodes: [{ cause: expect.stringContaining("NO_AUTH") }] },
    });
    expect(lease && (await lock.extend(lease))).toBe(true);
    expect(lease && (await lock.release(lease))).toBe(true);
  });

  it("L5 leaves nothing under its root but the folders that all keys share", async () => {
    const root = `/test-${randomUUID()}`;
    const { client } = await inspect(root);
    const lock = zookeeper(await open(), { root, callTimeoutMs: 10_000 });
    const keys = Array.from({ length: 500 }, (_, index) => `order:${index}`);
    const children = (path: string) =>
      new Promise<string[]>((resolve, reject) => {
        client.getChildren(path, (error, names) => (error ? reject(error) : resolve(names)));
      });

    for (let round = 0; round < 3; round += 1) {
      const attempts = await Promise.all(keys.map((key) => lock.acquire(`${key}:${round}`, { ttlMs: TTL_MS, owner: "a" })));
      await Promise.all(attempts.map(({ lease }) => lease && lock.release(lease)));
    }

    const folders = await children(root);
    const rest = await Promise.all(folders.map((folder) => children(`${root}/${folder}`)));
    expect(folders.length).toBeLessThanOrEqual(256);
    expect(rest.flat()).toEqual([]);
  });
});
