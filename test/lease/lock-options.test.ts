import { describe, expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import type { ExclaimErrorCode } from "../../src/errors.ts";
import type { AcquireLockOptions } from "../../src/lease/locks.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { thrownCode } from "../claim/engine-in-memory.ts";
import { rejectionOf } from "./open-holding.ts";

const INVALID: ExclaimErrorCode = "CONFIG_INVALID";

describe("exclaim without a database", () => {
  it("gives locks, and closes", async () => {
    const exclaim = createExclaim({ lock: memoryLock() });

    const first = await exclaim.lock.acquire("report:7");
    const second = await exclaim.lock.acquire(["report:8", "report:7"]);
    await exclaim.close({ drainMs: 0 });

    expect([first.status, second.status]).toEqual(["held", "contended"]);
    expect(first.status === "held" && first.signal.aborted).toBe(true);
    expect(await rejectionOf(exclaim.lock.acquire("report:9"))).toBe("CLOSED");
  });

  it("says CONFIG_INVALID to what needs one", async () => {
    await using exclaim = createExclaim({ lock: memoryLock() });

    expect(thrownCode(() => exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }))).toBe(INVALID);
    expect(await rejectionOf(exclaim.migrate())).toBe(INVALID);
  });
});

describe("exclaim without a lock", () => {
  it("says CONFIG_INVALID to who wants one", async () => {
    const database = { connect: () => Promise.reject(new Error("no server")) };
    await using exclaim = createExclaim({ database: database as never });

    expect(await rejectionOf(exclaim.lock.acquire("k"))).toBe(INVALID);
  });

  it("and without a database is nothing at all", () => {
    expect(thrownCode(() => createExclaim({}))).toBe(INVALID);
    expect(thrownCode(() => createExclaim({ lock: {} as LockBackend }))).toBe(INVALID);
  });
});

// Planted: each of the checks left out; each made the test here of its row fail.
describe("the options of a lock", () => {
  it.each([
    ["an empty key", "", {}],
    ["no key", [], {}],
    ["an empty key among others", ["a", ""], {}],
    ["a key that is no text", [7] as unknown as string[], {}],
    ["a ttl below 100 ms", "k", { ttlMs: 99 }],
    ["a ttl that is not a number", "k", { ttlMs: Number.NaN }],
    ["a negative ttl", "k", { ttlMs: -1 }],
    ["an endless ttl", "k", { ttlMs: Number.POSITIVE_INFINITY }],
    ["a ttl of more than a day", "k", { ttlMs: 86_400_001 }],
    ["a wait that is not a number", "k", { waitMs: Number.NaN }],
    ["a negative wait", "k", { waitMs: -1 }],
    ["an endless wait", "k", { waitMs: Number.POSITIVE_INFINITY }],
    ["a wait that is a text", "k", { waitMs: "5" as unknown as number }],
    ["a mode that there is not", "k", { mode: "read" as "shared" }],
  ])("refuse %s before a server is asked", async (_title, keys: string | string[], options: AcquireLockOptions) => {
    let asked = 0;
    const inner = memoryLock();
    const lock: LockBackend = {
      ...inner,
      acquire(key, acquisition) {
        asked += 1;
        return inner.acquire(key, acquisition);
      },
    };
    await using exclaim = createExclaim({ lock });

    expect(await rejectionOf(exclaim.lock.acquire(keys, options))).toBe(INVALID);
    expect(asked).toBe(0);
  });

  it.each([0, 1_000])("refuse the shared mode where the back-end has none (wait %i)", async (waitMs) => {
    const inner = memoryLock();
    await using exclaim = createExclaim({ lock: { ...inner, capabilities: { ...inner.capabilities, shared: false } } });

    const error = await exclaim.lock.acquire("k", { mode: "shared", waitMs }).catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code: INVALID, details: { backend: "memory" } });
  });

  it("refuse shared among several keys before any of them is taken", async () => {
    const inner = memoryLock();
    await using exclaim = createExclaim({ lock: { ...inner, capabilities: { ...inner.capabilities, shared: false } } });

    expect(await rejectionOf(exclaim.lock.acquire(["a", "b"], { mode: "shared" }))).toBe(INVALID);
    await using held = await exclaim.lock.acquire(["a", "b"]);
    expect(held.status).toBe("held");
  });

  it("may all be left out: then a lock lasts for the ttl of exclaim", async () => {
    const ttls: number[] = [];
    const inner = memoryLock();
    const lock: LockBackend = {
      ...inner,
      acquire(key, acquisition) {
        ttls.push(acquisition.ttlMs);
        return inner.acquire(key, acquisition);
      },
    };
    await using exclaim = createExclaim({ lock, ttlMs: 12_345 });

    for (const options of [undefined, {}, { ttlMs: 54_321 }]) {
      await using _held = await exclaim.lock.acquire("k", options);
    }

    expect(ttls).toEqual([12_345, 12_345, 54_321]);
  });
});
