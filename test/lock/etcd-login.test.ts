import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import { startEtcd } from "../support/etcd.ts";
import { askEtcd, toBase64 } from "../support/etcd-gateway.ts";
import { eventually } from "../support/eventually.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { TTL_MS, take } from "./etcd-fixture.ts";

const ROOT = { name: "root", password: "r00t-pa55word" };
const WORKER = { name: "worker", password: 'w0rker-"pa55word"' };
const PATIENT = { callTimeoutMs: 5_000 };

let server: ServerProcess;
beforeAll(async () => {
  server = await startEtcd();
  const setUp: readonly (readonly [string, object])[] = [
    ["auth/user/add", ROOT],
    ["auth/role/add", { name: "root" }],
    ["auth/user/grant", { user: "root", role: "root" }],
    ["auth/user/add", WORKER],
    ["auth/role/add", { name: "locks" }],
    [
      "auth/role/grant",
      { name: "locks", perm: { permType: "READWRITE", key: toBase64("locks/"), range_end: toBase64("locks0") } },
    ],
    ["auth/user/grant", { user: WORKER.name, role: "locks" }],
    ["auth/enable", {}],
  ];
  for (const [path, message] of setUp) await askEtcd([server.url], path, message);
});
afterAll(() => server?.stop());

describe("etcd with a login", () => {
  const open = (prefix = "locks/", password = WORKER.password) =>
    etcd(server.url, { ...PATIENT, prefix, username: WORKER.name, password });

  it("L1 holds, extends and releases with rights on the prefix alone, in both modes", async () => {
    for (const mode of ["exclusive", "shared"] as const) {
      const lease = await take(mode, "a", { mode }, open());
      const refused = await open().acquire(mode, { ttlMs: TTL_MS, owner: "b" });
      const answers = [await open().extend(lease), await open().extendMany?.([lease]), await open().release(lease)];

      expect(refused.lease).toBeNull();
      expect(answers).toEqual([true, [true], true]);
    }
  });

  it("L10 wakes a waiter", async () => {
    const holder = await take("woken", "a", {}, open());
    await open().acquire("woken", { ttlMs: TTL_MS, owner: "b", queue: true });
    let wakes = 0;
    const stop = await open().watch?.({ key: "woken", owner: "b", mode: "exclusive" }, () => {
      wakes += 1;
    });

    await open().release(holder);

    await eventually(() => wakes === 1);
    stop?.();
  });

  it("logs in anew when the server has forgotten all tokens", async () => {
    const lock = open();
    const lease = await take("restarted", "a", {}, lock);

    await server.restart();

    expect(await lock.extend(lease)).toBe(true);
    expect(await lock.release(lease)).toBe(true);
  });

  it("L4 a wrong password is a failure that says so, and is not repeated", async () => {
    const error = await open("locks/", "wr0ng-pa55word")
      .acquire("order:1", { ttlMs: TTL_MS, owner: "a" })
      .catch((thrown) => thrown);

    expect(error).toMatchObject({
      code: "LOCK_UNREACHABLE",
      details: {
        nodes: [{ node: `127.0.0.1:${server.port}`, cause: expect.stringMatching(/login as worker: .*authentication failed/) }],
      },
    });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("pa55word");
  });

  it("L4 keys without rights are a failure that says so", async () => {
    const waiter = { key: "order:1", owner: "a", mode: "exclusive" } as const;

    const failures = await Promise.all([
      open("others/")
        .acquire("order:1", { ttlMs: TTL_MS, owner: "a" })
        .catch((error) => error),
      open("others/")
        .watch?.(waiter, () => {})
        .catch((error) => error),
    ]);

    for (const failure of failures) {
      expect(failure).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining("permission denied") });
    }
  });

  it("L4 no login where one is asked for is a failure that says so", async () => {
    await expect(etcd(server.url, PATIENT).acquire("order:1", { ttlMs: TTL_MS, owner: "a" })).rejects.toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("user name is empty"),
    });
  });
});
