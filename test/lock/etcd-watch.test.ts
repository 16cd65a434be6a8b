import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import type { LockMode } from "../../src/lock/lock.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { startEtcd } from "../support/etcd.ts";
import { askEtcd, clearEtcd, toBase64 } from "../support/etcd-gateway.ts";
import { eventually } from "../support/eventually.ts";
import { etcdUrls, openEtcd, TTL_MS, take } from "./etcd-fixture.ts";
import { silence, Wire } from "./etcd-wire.ts";

let key: string;
beforeEach(() => {
  key = `etcd:${randomUUID()}`;
});

describe("etcd's watch", () => {
  // Planted once and seen to fail: watching from when the stream begins instead of from the look.
  it("L10 misses nothing that happens between the look and the stream", async () => {
    const holder = await take(key, "a");
    await queue("b");
    const wire = new Wire();
    const goOn = delayStream(wire);
    const watching = watch("b", { backend: openEtcd({ fetch: wire.fetch }) });
    await eventually(() => wire.count("watch") === 1);
    await openEtcd().release(holder);

    goOn();

    const waiter = await watching;
    await eventually(() => waiter.wakes() === 1);
    waiter.stop();
  });

  it("L10 watches one key, the closest that excludes the waiter", async () => {
    await take(key, "a");
    for (const owner of ["b", "c", "d"]) await queue(owner);
    await queue("reader", "shared");
    await queue("e");
    const wire = new Wire();
    const backend = openEtcd({ fetch: wire.fetch });

    const waiters = [
      await watch("d", { backend }),
      await watch("reader", { backend, mode: "shared" }),
      await watch("e", { backend }),
    ];

    expect(watchedKeys(wire)).toEqual([`${key}/exclusive/c`, `${key}/exclusive/d`, `${key}/shared/reader`]);
    for (const waiter of waiters) waiter.stop();
  });

  it("L10 asks members to end the stream once they are cut off from the others", async () => {
    await take(key, "a");
    const wire = new Wire();

    const waiter = await watch("b", { backend: openEtcd({ fetch: wire.fetch }) });

    expect(wire.sent.at(-1)?.request.headers).toMatchObject({ "grpc-metadata-hasleader": "true" });
    waiter.stop();
  });

  it("L10 one without a place is woken when nobody is left", async () => {
    const holder = await take(key, "a");
    await queue("b");
    const passerBy = await watch("passer-by");

    await openEtcd().release(holder);
    await openEtcd().release(await take(key, "b"));

    await eventually(() => passerBy.wakes() > 0);
    expect((await openEtcd().acquire(key, { ttlMs: TTL_MS, owner: "passer-by" })).lease).not.toBeNull();
    passerBy.stop();
  });

  it("L10 one whose turn has come already is woken at once", async () => {
    const holder = await take(key, "a");
    await queue("b");
    await openEtcd().release(holder);

    const waiter = await watch("b");

    await eventually(() => waiter.wakes() === 1);
    waiter.stop();
  });

  it("L10 is told of a key that an operator deleted, and of a lease that ran out", async () => {
    await take(key, "a");
    await queue("b", "exclusive", 1_000);
    await queue("c");
    const waiter = await watch("c");
    await clearEtcd(etcdUrls(), `${key}/exclusive/a`);

    await eventually(() => waiter.wakes() === 1);

    expect((await openEtcd().acquire(key, { ttlMs: TTL_MS, owner: "c", queue: true })).lease?.owner).toBe("c");
    waiter.stop();
  });

  it("L10 goes on after the connection broke", async () => {
    const holder = await take(key, "a");
    await queue("b");
    const proxy = await startCutProxy(etcdUrls()[0] ?? "");
    const waiter = await watch("b", { backend: etcd(proxy.url, { callTimeoutMs: 5_000 }) });

    proxy.cut();
    await openEtcd().release(holder);
    proxy.heal();

    await eventually(() => waiter.wakes() === 1);
    waiter.stop();
    await proxy.close();
  });

  it("L10 goes on when the revision it watches from was compacted away meanwhile", async () => {
    const server = await startEtcd();
    const backend = etcd(server.url, { callTimeoutMs: 5_000 });
    const holder = await take(key, "a", {}, backend);
    await backend.acquire(key, { ttlMs: TTL_MS, owner: "b", queue: true });
    const wire = new Wire();
    const goOn = delayStream(wire);
    const watching = watch("b", { backend: etcd(server.url, { callTimeoutMs: 5_000, fetch: wire.fetch }) });
    await eventually(() => wire.count("watch") === 1);
    await backend.release(holder);
    const { header } = (await askEtcd([server.url], "kv/put", { key: toBase64("other") })) as { header: { revision: string } };
    await askEtcd([server.url], "kv/compaction", { revision: header.revision });

    goOn();

    const waiter = await watching;
    await eventually(() => waiter.wakes() === 1);
    waiter.stop();
    await server.stop();
  });

  it("L6 a stream that never begins is a failure within the time limit", async () => {
    await take(key, "a");
    const wire = new Wire();
    wire.fault("watch", () => silence());

    const failed = openEtcd({ fetch: wire.fetch, callTimeoutMs: 1_000 }).watch?.(
      { key, owner: "b", mode: "exclusive" },
      () => {},
    );

    await expect(failed).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringMatching(/could not watch "etcd:.*no answer within \d+ ms/),
    });
  });

  it("L10 has one stream at a time, also when a wake-up throws, and none once stopped", async () => {
    const holder = await take(key, "a");
    await queue("b");
    const wire = new Wire();
    const open = () => wire.sent.filter(({ path, request }) => path === "watch" && !request.signal.aborted).length;
    let wakes = 0;
    const stop = await openEtcd({ fetch: wire.fetch }).watch?.({ key, owner: "c", mode: "exclusive" }, () => {
      wakes += 1;
      throw new Error("not now");
    });

    const counts = [open()];
    for (const [index, lease] of [{ ...holder, owner: "b" }, holder].entries()) {
      await openEtcd().release(lease);
      await eventually(() => wire.count("watch") === index + 2);
      counts.push(open());
    }
    await eventually(() => wakes === 1);
    await openEtcd().release(await take(key, "d"));
    await eventually(() => wakes === 2);
    counts.push(open());
    stop?.();
    counts.push(open());

    expect(counts).toEqual([1, 1, 1, 1, 0]);
  });

  // Planted once and seen to fail: a stop that leaves the stream open.
  it("L10 once stopped it does not keep the process alive", async () => {
    await take(key, "a");
    const program = fileURLToPath(new URL("./etcd-waiter.ts", import.meta.url));

    const child = spawn(process.execPath, ["--import", "tsx", program, etcdUrls()[0] ?? "", key], {
      stdio: "inherit",
      timeout: 20_000,
    });

    expect(await once(child, "exit")).toEqual([0, null]);
  });
});

async function queue(owner: string, mode: LockMode = "exclusive", ttlMs = TTL_MS): Promise<void> {
  const { lease } = await openEtcd().acquire(key, { ttlMs, owner, mode, queue: true });
  if (lease !== null) throw new Error(`${owner} was to wait`);
}

async function watch(owner: string, { backend = openEtcd(), mode = "exclusive" as LockMode } = {}) {
  let count = 0;
  const stop = await backend.watch?.({ key, owner, mode }, () => {
    count += 1;
  });
  return { wakes: () => count, stop: () => stop?.() };
}

/** The next stream does not begin before the returned function is called. */
function delayStream(wire: Wire): () => void {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  wire.fault("watch", async (_, stream) => {
    await begun;
    return stream();
  });
  return begin;
}

function watchedKeys({ sent }: Wire): readonly string[] {
  const streams = sent.filter(({ path }) => path === "watch");
  return streams.map(({ request }) => Buffer.from(JSON.parse(request.body).create_request.key, "base64").toString());
}
