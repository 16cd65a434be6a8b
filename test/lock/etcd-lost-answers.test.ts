import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { keysOfEtcd, leasesOfEtcd } from "../support/etcd-gateway.ts";
import { eventually } from "../support/eventually.ts";
import { etcdUrls, onlyKey, openEtcd, ownersOf, TTL_MS, take } from "./etcd-fixture.ts";
import { Wire } from "./etcd-wire.ts";

const WISH = { ttlMs: TTL_MS, owner: "a" };

let key: string;
let wire: Wire;
beforeEach(() => {
  key = `etcd:${randomUUID()}`;
  wire = new Wire();
});

describe("etcd when a connection is cut before the answer", () => {
  it.each(["kv/txn", "lease/grant"])("L7 acquire asks once more after a cut %s, and wins", async (path) => {
    wire.cutAnswer(path);

    const attempt = await openEtcd({ fetch: wire.fetch }).acquire(key, WISH);

    expect(attempt.lease?.owner).toBe("a");
    expect((await onlyKey(key)).value).toBe("held");
  });

  it("L7 acquire whose win was not answered finds it, and holds one lease", async () => {
    const backend = openEtcd({ fetch: wire.fetch });
    wire.fault("lease/grant", async (send) => {
      wire.cutAnswer("kv/txn");
      return send();
    });

    const attempt = await backend.acquire(key, WISH);

    expect(attempt.lease?.owner).toBe("a");
    expect(wire.paths).toEqual(["kv/txn", "lease/grant", "kv/txn", "kv/txn"]);
    expect((await onlyKey(key)).lease).toBe(JSON.parse(wire.sent[1]?.request.body ?? "{}").ID);
  });

  it("L7 extend and release ask once more, and tell what is true", async () => {
    const lease = await take(key, "a");
    const backend = openEtcd({ fetch: wire.fetch });

    wire.cutAnswer("lease/keepalive");
    const extended = await backend.extend(lease);
    wire.cutAnswer("lease/revoke");
    const released = await backend.release(lease);

    expect([extended, released]).toEqual([true, true]);
    expect(await ownersOf(key)).toEqual([]);
  });
});

describe("etcd when an answer never comes", () => {
  /** Long enough for the server on a busy machine, and short beside the ttl. */
  const LIMIT_MS = 1_500;
  let backend: LockBackend;
  beforeEach(() => {
    backend = openEtcd({ fetch: wire.fetch, callTimeoutMs: LIMIT_MS });
  });

  // Planted once and seen to fail: no taking back.
  it("L5 a win that was not heard of is taken back", async () => {
    const put = loseThePut(wire);

    const failed = await backend.acquire(key, WISH).catch((error) => error);

    await put;
    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("no answer within 1500 ms") });
    await eventually(async () => expect(await ownersOf(key)).toEqual([]));
    expect(await leasesOfEtcd(etcdUrls())).not.toContain(grantedIds(wire)[0]);
  });

  it("L5 taking back goes on until somebody answers", async () => {
    const put = loseThePut(wire);
    const revoke = wire.delay("lease/revoke");
    await backend.acquire(key, WISH).catch(() => undefined);
    await put;
    const before = await ownersOf(key);

    await eventually(async () => expect(await ownersOf(key)).toEqual([]));

    expect(before).toEqual(["a"]);
    expect(wire.count("lease/revoke")).toBe(2);
    await revoke();
  });

  // Planted once and seen to fail: keeping the lease alive that the first attempt granted, as is done for one that waits.
  it("L7 the same owner asks again while its first win is being taken back, and keeps the second", async () => {
    const put = loseThePut(wire);
    const takeBack = wire.delay("lease/revoke");
    await backend.acquire(key, WISH).catch(() => undefined);
    await put;

    const again = await backend.acquire(key, WISH);
    await takeBack();

    expect(again.lease).toEqual({ key, owner: "a", ttlMs: TTL_MS });
    expect(await backend.extend({ key, ...WISH })).toBe(true);
    expect((await onlyKey(key)).lease).toBe(grantedIds(wire)[1]);
    expect(await leasesOfEtcd(etcdUrls())).not.toContain(grantedIds(wire)[0]);
  });

  // Planted once and seen to fail: puts that do not compare the key with what was seen of it.
  it("L7 a put that arrives after the same owner's next one changes nothing", async () => {
    const holder = await take(key, "holder");
    let arrive: () => Promise<string> = async () => "";
    wire.fault("lease/grant", async (send) => {
      arrive = wire.delay("kv/txn");
      return send();
    });
    await backend.acquire(key, { ...WISH, queue: true }).catch(() => undefined);
    await backend.acquire(key, { ...WISH, queue: true });
    const place = (await keysOfEtcd(etcdUrls(), `${key}/`))[1];

    await arrive();

    expect((await keysOfEtcd(etcdUrls(), `${key}/`))[1]).toEqual(place);
    await openEtcd().release(holder);
    expect((await backend.acquire(key, { ...WISH, queue: true })).lease?.owner).toBe("a");
  });

  it("L9 a place in the line that was not heard of is kept", async () => {
    await take(key, "holder");
    const put = loseThePut(wire);
    const failed = await backend.acquire(key, { ...WISH, queue: true }).catch((error) => error);
    await put;
    await openEtcd().acquire(key, { ttlMs: TTL_MS, owner: "late", queue: true });

    const again = await backend.acquire(key, { ...WISH, queue: true });

    expect(failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect(again.lease).toBeNull();
    expect(await ownersOf(key)).toEqual(["holder", "a", "late"]);
  });

  it("L6 extend and release fail in time, and the lease stands", async () => {
    const lease = await take(key, "a");
    const lost = wire.loseAnswer("lease/keepalive");
    const extended = await backend.extend(lease).catch((error) => error);
    await lost;
    wire.delay("lease/revoke");
    const released = await backend.release(lease).catch((error) => error);

    expect([extended, released]).toMatchObject([{ code: "LOCK_UNREACHABLE" }, { code: "LOCK_UNREACHABLE" }]);
    expect(await backend.extend(lease)).toBe(true);
  });

  it("L4 a hint that is not answered is left out, and contention stays a value", async () => {
    await take(key, "holder");
    wire.delay("lease/timetolive");

    expect(await backend.acquire(key, WISH)).toEqual({ lease: null, retryAfterMs: 0 });
  });
});

describe("etcd asked through two members of which one is slow", () => {
  const MEMBERS = ["http://slow", "http://quick"];
  let backend: LockBackend;
  beforeEach(() => {
    wire = new Wire(etcdUrls()[0]);
    backend = etcd(MEMBERS, { fetch: wire.fetch, callTimeoutMs: 2_000 });
  });

  it.each(["lease/grant", "kv/txn"])("L7 a %s that arrives twice, late the second time, counts once", async (path) => {
    let arrive: () => Promise<string> = async () => "";
    wire.fault("kv/txn", async (send) => {
      arrive = wire.delay(path, "slow");
      return send();
    });

    const { lease } = await backend.acquire(key, WISH);
    const before = await onlyKey(key);
    await arrive();

    expect(lease?.owner).toBe("a");
    expect(wire.sent.filter((one) => one.path === path).map(({ host }) => host)).toContain("quick");
    expect(await onlyKey(key)).toEqual(before);
    expect(await backend.extend({ key, ...WISH })).toBe(true);
    expect(await backend.release({ key, ...WISH })).toBe(true);
  });

  it("L6 the quick one is asked first from then on", async () => {
    wire.delay("kv/txn", "slow");

    const lease = await take(key, "a", {}, backend);
    await backend.release(lease);

    expect(wire.sent.map(({ host }) => host)).toEqual(["slow", "quick", "quick", "quick", "quick", "quick"]);
  });
});

/** The put comes after the grant: its answer is lost. Resolves once the server has done it. */
function loseThePut(wire: Wire): Promise<void> {
  return new Promise((done) => {
    wire.fault("lease/grant", async (send) => {
      wire.loseAnswer("kv/txn").then(done);
      return send();
    });
  });
}

function grantedIds({ sent }: Wire): readonly string[] {
  return sent.filter(({ path }) => path === "lease/grant").map(({ request }) => JSON.parse(request.body).ID);
}
