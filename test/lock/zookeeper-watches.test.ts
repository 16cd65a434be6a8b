import { randomUUID } from "node:crypto";
import type { Client } from "node-zookeeper-client";
import { afterEach, describe, expect, it } from "vitest";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { zookeeper as service } from "../support/services/zookeeper.ts";
import { sharedUrl } from "../support/shared-urls.ts";
import { closeClient, openClient } from "./zookeeper-clients.ts";

const TTL_MS = 20_000;

const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function open(url = sharedUrl(service)): Promise<Client> {
  const client = await openClient([url]);
  opened.push({ close: () => closeClient(client) });
  return client;
}

// That a release wakes the next waiter alone is the conformance suite's.
describe("zookeeper watches", () => {
  it("L10 a waiter is told of a release that happened while its connection was broken", async () => {
    const proxy = await startCutProxy(sharedUrl(service));
    opened.push(proxy);
    const waiter = zookeeper(await open(proxy.url));
    const other = zookeeper(await open());
    const key = randomUUID();
    const { lease } = await other.acquire(key, { ttlMs: TTL_MS, owner: "holder" });
    await waiter.acquire(key, { ttlMs: TTL_MS, owner: "waiter", queue: true });
    let wakes = 0;
    const stop = await waiter.watch?.({ key, owner: "waiter", mode: "exclusive" }, () => {
      wakes += 1;
    });
    proxy.cut();

    if (lease !== null) await other.release(lease);
    proxy.heal();

    await eventually(() => wakes > 0, { what: "the waiter's waking" });
    stop?.();
    expect((await waiter.acquire(key, { ttlMs: TTL_MS, owner: "waiter", queue: true })).lease).not.toBeNull();
  });

  it("L10 adds one listener to a client, however often it is used", async () => {
    const client = await open();
    const lock = zookeeper(client);
    const key = randomUUID();
    const before = client.listenerCount("state");

    for (let round = 0; round < 20; round += 1) {
      const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
      const stop = await lock.watch?.({ key, owner: "b", mode: "exclusive" }, () => {});
      expect(lease && (await lock.release(lease))).toBe(true);
      stop?.();
    }

    expect(client.listenerCount("state") - before).toBe(1);
  });

  // Seen to fail when each watch sets one of its own: 200 watchers, and a warning of Node.js.
  it("L10 watches of one node are one watcher of the client, however many wait and however often", async () => {
    const client = await open();
    const lock = zookeeper(client);
    const key = randomUUID();
    await lock.acquire(key, { ttlMs: TTL_MS, owner: "holder" });
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on("warning", note);
    let wakes = 0;
    const watch = (owner: string) => lock.watch?.({ key, owner, mode: "shared" }, () => (wakes += 1));

    for (let round = 0; round < 10; round += 1) {
      const stops = await Promise.all(Array.from({ length: 20 }, (_, index) => watch(`${round}-${index}`)));
      for (const stop of stops.slice(round)) stop?.();
    }
    const { watcherManager } = client.connectionManager;
    const [path = "", ...others] = watcherManager.getDataWatcherPaths();
    const watchers = watcherManager.dataWatchers[path]?.listenerCount("notification");
    await lock.release({ key, owner: "holder", ttlMs: TTL_MS });

    await eventually(() => wakes >= 45, { what: "the waking of those who did not stop" });
    process.off("warning", note);
    expect([others, watchers, warnings]).toEqual([[], 1, []]);
    expect(watcherManager.getExistenceWatcherPaths()).toEqual([]);
  });
});
