import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { type EtcdOptions, etcd } from "../../src/lock/etcd.ts";
import { askEtcd, clearEtcd, keysOfEtcd, toBase64 } from "../support/etcd-gateway.ts";
import { eventually } from "../support/eventually.ts";
import { etcdUrls, openEtcd, ownersOf, TTL_MS, take } from "./etcd-fixture.ts";
import { Wire } from "./etcd-wire.ts";

let key: string;
beforeEach(() => {
  key = `etcd:${randomUUID()}`;
});

describe("etcd's configuration", () => {
  it.each([
    ["no endpoint", [], {}],
    ["an endpoint that is no URL", "127.0.0.1:2379", {}],
    ["an endpoint of another protocol", ["http://127.0.0.1:2379", "redis://127.0.0.1:6379"], {}],
    ["a name without a password", "http://127.0.0.1:2379", { username: "root" }],
    ["a password without a name", "http://127.0.0.1:2379", { password: "secret" }],
    ["a time limit of 0 ms", "http://127.0.0.1:2379", { callTimeoutMs: 0 }],
    ["a time limit that is no number", "http://127.0.0.1:2379", { callTimeoutMs: Number.NaN }],
  ])("refuses %s", (_, endpoints: string | string[], options: EtcdOptions) => {
    expect(() => etcd(endpoints, options)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it("refuses a URL with a password in it, and does not repeat the password", () => {
    const open = () => etcd("http://root:pa55word@127.0.0.1:2379");

    expect(open).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("127.0.0.1:2379") }),
    );
    expect(open).toThrow(expect.objectContaining({ message: expect.not.stringContaining("pa55word") }));
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses a ttl of %s ms", async (ttlMs) => {
    await expect(openEtcd().acquire(key, { ttlMs, owner: "a" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("finds the gateway below the path of the endpoint, whether it ends with a slash or not", async () => {
    const urls: string[] = [];
    const answer = { ok: false, status: 404, text: async () => "not here", body: null };
    const fetch = async (url: string) => {
      urls.push(url);
      return answer;
    };

    const attempt = etcd(["http://proxy/etcd", "http://proxy/etcd/"], { fetch }).acquire(key, { ttlMs: TTL_MS, owner: "a" });

    await expect(attempt).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("proxy: HTTP status 404: not here"),
    });
    expect(urls).toEqual(["http://proxy/etcd/v3/kv/txn", "http://proxy/etcd/v3/kv/txn"]);
  });

  it("works through the global fetch as well", async () => {
    const backend = openEtcd({ fetch });
    let wakes = 0;

    const lease = await take(key, "a", {}, backend);
    const waiting = await backend.acquire(key, { ttlMs: TTL_MS, owner: "b", queue: true });
    const stop = await backend.watch?.({ key, owner: "b", mode: "exclusive" }, () => {
      wakes += 1;
    });
    const answers = [await backend.extend(lease), await backend.extendMany?.([lease]), await backend.release(lease)];

    expect(waiting.lease).toBeNull();
    expect(answers).toEqual([true, [true], true]);
    await eventually(() => wakes > 0);
    stop?.();
  });
});

describe("etcd's keys", () => {
  it("L1 a contender is a key under a lease of its own: the prefix, the lock's key, the mode and the owner", async () => {
    const backend = openEtcd({ prefix: "tests/" });

    await take(key, "a", {}, backend);
    await backend.acquire(key, { ttlMs: TTL_MS, owner: "b", mode: "shared", queue: true });

    const keys = await keysOfEtcd(etcdUrls(), `tests/${key}`);
    expect(keys).toEqual([
      { key: `tests/${key}/exclusive/a`, value: "held", lease: expect.stringMatching(/^[1-9]\d*$/) },
      { key: `tests/${key}/shared/b`, value: "waiting", lease: expect.stringMatching(/^[1-9]\d*$/) },
    ]);
    expect(new Set(keys.map(({ lease }) => lease)).size).toBe(2);
  });

  // Planted once and seen to fail: keys as they are, keys as UTF-8 writes them, and keys whose percent signs stay.
  it("L1 keys that are almost written alike in etcd do not exclude one another", async () => {
    const ends = ["", "/exclusive/a", "/shared", "%2f", "/", "%", "%25", "\ud800", "\udc00", "\ufffd", "%d800", "\0"];

    const attempts = await Promise.all(ends.map((end) => openEtcd().acquire(key + end, { ttlMs: TTL_MS, owner: "a" })));

    expect(attempts.map(({ lease }) => lease?.key)).toEqual(ends.map((end) => key + end));
    expect(await keysOfEtcd(etcdUrls(), key)).toHaveLength(12);
  });

  it("L2 owners that are almost written alike in etcd do not release one another", async () => {
    const owners = ["", "/", "a/b", "%", "\ud800", "\ufffd"];
    for (const owner of owners) await take(key, owner, { mode: "shared" });

    const strangers = owners.map((owner) => ({ key, owner: `${owner}x`, ttlMs: TTL_MS, mode: "shared" as const }));
    const released = await Promise.all(strangers.map((lease) => openEtcd().release(lease)));

    expect(released).toEqual([false, false, false, false, false, false]);
    expect(await keysOfEtcd(etcdUrls(), key)).toHaveLength(6);
  });

  it("L4 a key that a stranger put there without a lease is contention of unknown length, and stays", async () => {
    await askEtcd(etcdUrls(), "kv/put", { key: toBase64(`${key}/exclusive/stranger`), value: toBase64("?") });

    const attempt = await openEtcd().acquire(key, { ttlMs: TTL_MS, owner: "a" });

    expect(attempt).toEqual({ lease: null, retryAfterMs: 0 });
    expect(await keysOfEtcd(etcdUrls(), key)).toEqual([{ key: `${key}/exclusive/stranger`, value: "?", lease: "0" }]);
  });

  // Planted once and seen to fail: extend that keeps the lease alive without looking for the key.
  it("L2 a key that an operator deleted is lost at the next extend, and the next one's win stands", async () => {
    const lease = await take(key, "a");
    await clearEtcd(etcdUrls(), `${key}/`);
    const next = await take(key, "b");

    const answers = [
      await openEtcd().extend(lease),
      await openEtcd().extendMany?.([lease, next]),
      await openEtcd().release(lease),
    ];

    expect(answers).toEqual([false, [false, true], false]);
    expect(await ownersOf(key)).toEqual(["b"]);
  });

  it("L5 a refused attempt only looks", async () => {
    await take(key, "a");
    const wire = new Wire();

    await openEtcd({ fetch: wire.fetch }).acquire(key, { ttlMs: TTL_MS, owner: "b" });

    expect(wire.paths).toEqual(["kv/txn", "lease/timetolive"]);
  });

  it("extends 120 leases with seven looks, and a keepalive for each", async () => {
    const leases = await Promise.all(Array.from({ length: 120 }, (_, index) => take(`${key}:${index}`, "a")));
    const wire = new Wire();

    const extended = await openEtcd({ fetch: wire.fetch }).extendMany?.([...leases, { key, owner: "nobody", ttlMs: TTL_MS }]);

    expect(extended).toEqual([...leases.map(() => true), false]);
    expect([wire.count("kv/txn"), wire.count("lease/keepalive"), wire.sent.length]).toEqual([7, 120, 127]);
  });
});
