import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import { askEtcd } from "../support/etcd-gateway.ts";
import { eventually } from "../support/eventually.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { ownersOf, TTL_MS, take, timed } from "./etcd-fixture.ts";
import { product } from "./products/etcd-cluster.ts";

/** What a call may take at most; what takes well below that did not wait for the silent. */
const LIMIT_MS = 3_000;

let servers: readonly ServerProcess[];
let urls: readonly string[];
let key: string;
beforeAll(async () => {
  servers = await product.startServers();
  urls = servers.map(({ url }) => url);
});
afterAll(() => Promise.all((servers ?? []).map((server) => server.stop())));
beforeEach(() => {
  key = `etcd:${randomUUID()}`;
});

describe("etcd with members that hang or die", () => {
  it("L6 a member that follows and hangs is passed over, wherever it stands in the list", async () => {
    const follower = memberAt(await indexOf("follower"));
    follower.hang();

    const took: number[] = [];
    for (const first of [0, 1, 2]) {
      const backend = etcd([...urls.slice(first), ...urls.slice(0, first)], { callTimeoutMs: LIMIT_MS });
      const { tookMs } = await timed(async () => backend.release(await take(`${key}:${first}`, "a", {}, backend)));
      took.push(tookMs);
    }
    follower.resume();

    expect(Math.max(...took)).toBeLessThan(LIMIT_MS);
  });

  it("L6 with most members hung every call fails within the time limit and names all three, and the lease stands", async () => {
    const backend = etcd(urls, { callTimeoutMs: 1_000 });
    const lease = await take(key, "a", {}, backend);
    memberAt(0).hang();
    memberAt(1).hang();

    const failures = await Promise.all([
      timed(() => backend.acquire(`${key}:other`, { ttlMs: TTL_MS, owner: "b" }).catch((error) => error)),
      timed(() => backend.extend(lease).catch((error) => error)),
      timed(async () => backend.extendMany?.([lease]).catch((error) => error)),
      timed(() => backend.release(lease).catch((error) => error)),
      timed(async () => backend.watch?.({ key, owner: "b", mode: "exclusive" }, () => {}).catch((error) => error)),
    ]);
    memberAt(0).resume();
    memberAt(1).resume();

    const names = servers.map(({ host, port }) => `${host}:${port}`);
    for (const { value, tookMs } of failures) {
      expect(value).toMatchObject({ code: "LOCK_UNREACHABLE" });
      expect(value.details.nodes.map(({ node }: { node: string }) => node)).toEqual(names);
      expect(tookMs).toBeLessThan(LIMIT_MS);
    }
    expect(await eventually(() => backend.extend(lease))).toBe(true);
  });

  it("L6 with most members killed the one that is left gives nothing away, and names the others", async () => {
    const holder = await take(key, "a", {}, etcd(urls, { callTimeoutMs: LIMIT_MS }));
    const [first, second, left] = [memberAt(0), memberAt(1), memberAt(2)];
    await Promise.all([first.kill(), second.kill()]);

    const alone = await timed(() =>
      etcd(left.url, { callTimeoutMs: 1_000 })
        .acquire(key, { ttlMs: TTL_MS, owner: "b" })
        .catch((error) => error),
    );
    const all = await etcd(urls, { callTimeoutMs: 1_000 })
      .extend(holder)
      .catch((error) => error);
    await Promise.all([first.restart(), second.restart()]);

    expect(alone.value).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: { nodes: [{ node: `127.0.0.1:${left.port}`, cause: expect.stringMatching(/./) }] },
    });
    expect(alone.tookMs).toBeLessThan(LIMIT_MS);
    expect(all.details.nodes).toMatchObject([
      { node: `127.0.0.1:${first.port}`, cause: expect.stringContaining("ECONNREFUSED") },
      { node: `127.0.0.1:${second.port}`, cause: expect.stringContaining("ECONNREFUSED") },
      { node: `127.0.0.1:${left.port}`, cause: expect.stringMatching(/./) },
    ]);
    expect(await eventually(() => etcd(urls).extend(holder))).toBe(true);
  });

  it("L1 L9 a killed leader takes neither the holder's lease nor the order of the line with it", async () => {
    const backend = etcd(urls, { callTimeoutMs: 1_000 });
    const holder = await take(key, "a", {}, backend);
    for (const owner of ["b", "c"]) await backend.acquire(key, { ttlMs: TTL_MS, owner, queue: true });
    const leader = memberAt(await indexOf("leader"));

    await leader.kill();

    const refused = await eventually(() => backend.acquire(key, { ttlMs: TTL_MS, owner: "c", queue: true }));
    const extended = await eventually(() => backend.extend(holder));
    const released = await backend.release(holder);
    const early = await backend.acquire(key, { ttlMs: TTL_MS, owner: "c", queue: true });
    const next = await backend.acquire(key, { ttlMs: TTL_MS, owner: "b", queue: true });
    await leader.restart();
    expect([refused.lease, extended, released, early.lease, next.lease?.owner]).toEqual([null, true, true, null, "b"]);
  });

  it("L2 L3 a leader that hung while its followers gave the key to another does not extend it when it goes on", async () => {
    const index = await indexOf("leader");
    const leader = memberAt(index);
    const stale = etcd(leader.url, { callTimeoutMs: 20_000 });
    const old = await take(key, "a", { ttlMs: 2_000 }, stale);
    leader.hang();
    const extending = stale.extend({ ...old, ttlMs: TTL_MS }).catch((error) => error);
    const others = etcd(
      urls.filter((_, other) => other !== index),
      { callTimeoutMs: 1_000 },
    );
    const next = await eventually(() => take(key, "b", {}, others), { timeoutMs: 20_000 });

    leader.resume();

    const extended = await extending;
    expect(extended === false || extended.code === "LOCK_UNREACHABLE").toBe(true);
    expect(await ownersOf(key, urls)).toEqual(["b"]);
    expect(await others.extend(next)).toBe(true);
  });

  it("L10 a waiter whose member is killed is woken through another", async () => {
    const index = await indexOf("follower");
    const member = memberAt(index);
    const others = etcd(
      urls.filter((_, other) => other !== index),
      { callTimeoutMs: LIMIT_MS },
    );
    const holder = await take(key, "a", {}, others);
    let wakes = 0;
    // Asked first, and so watched at.
    const backend = etcd([member.url, ...urls], { callTimeoutMs: LIMIT_MS });
    const stop = await backend.watch?.({ key, owner: "b", mode: "exclusive" }, () => {
      wakes += 1;
    });

    await member.kill();
    await others.release(holder);

    await eventually(() => wakes > 0);
    stop?.();
    await member.restart();
  });
});

function memberAt(index: number): ServerProcess {
  const member = servers[index];
  if (member === undefined) throw new Error(`there is no member ${index}`);
  return member;
}

/** Where the member stands that leads, or one that does not. */
async function indexOf(role: "leader" | "follower"): Promise<number> {
  const leads = await Promise.all(
    urls.map(async (url) => {
      const { header, leader } = (await askEtcd([url], "maintenance/status")) as Record<string, unknown> & {
        header: { member_id: string };
      };
      return header.member_id === leader;
    }),
  );
  const index = leads.indexOf(role === "leader");
  if (index === -1) throw new Error(`there is no ${role}`);
  return index;
}
