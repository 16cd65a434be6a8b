import { describe, expect, it } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { lockConformance } from "../conformance/lock-conformance.ts";

lockConformance(
  "memory",
  () => {
    const clock = handMovedClock();
    const backend = memoryLock({ clock });
    return {
      backend,
      isHeld: async (key) => {
        const probe = await backend.acquire(key, { ttlMs: 1, owner: "probe" });
        if (probe.lease !== null) await backend.release(probe.lease);
        // Refused for a line alone, nobody holds anything that could have time left.
        return probe.lease === null && probe.retryAfterMs > 0;
      },
      elapse: async (ms) => clock.move(ms),
      close: () => undefined,
    };
  },
  {
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: true, push: true },
    tellsHolderTime: true,
  },
);

describe("memoryLock", () => {
  it("L1 two of them know nothing of each other's keys", async () => {
    const first = memoryLock();
    const second = memoryLock();

    const attempts = [
      await first.acquire("order:1", { ttlMs: 1_000, owner: "a" }),
      await second.acquire("order:1", { ttlMs: 1_000, owner: "b" }),
    ];

    expect(attempts.map(({ lease }) => lease?.owner)).toEqual(["a", "b"]);
  });

  it("L3 a lease ends at the very instant its ttl is over", async () => {
    const clock = handMovedClock();
    const lock = memoryLock({ clock });
    await lock.acquire("order:1", { ttlMs: 1_000, owner: "a" });

    clock.move(999);
    const before = await lock.acquire("order:1", { ttlMs: 1_000, owner: "b" });
    clock.move(1);
    const after = await lock.acquire("order:1", { ttlMs: 1_000, owner: "b" });

    expect(before).toEqual({ lease: null, retryAfterMs: 1 });
    expect(after.lease?.owner).toBe("b");
  });

  it("L1 L3 leases that still run survive when thousands that ran out are cleared away", async () => {
    const clock = handMovedClock();
    const lock = memoryLock({ clock });
    await lock.acquire("kept", { ttlMs: 60_000, owner: "a" });
    for (let index = 0; index < 3_000; index += 1) {
      await lock.acquire(`short:${index}`, { ttlMs: 10, owner: "a" });
      clock.move(1);
    }

    const kept = await lock.acquire("kept", { ttlMs: 1_000, owner: "b" });
    const last = await lock.acquire("short:2999", { ttlMs: 1_000, owner: "b" });
    const first = await lock.acquire("short:0", { ttlMs: 1_000, owner: "b" });

    expect(kept).toEqual({ lease: null, retryAfterMs: 57_000 });
    expect(last).toEqual({ lease: null, retryAfterMs: 9 });
    expect(first.lease).not.toBeNull();
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses a ttl of %s ms", async (ttlMs) => {
    const lock = memoryLock();

    await expect(lock.acquire("order:1", { ttlMs, owner: "a" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});

function handMovedClock(): Clock & { move(ms: number): void } {
  let now = 1_000;
  return {
    now: () => now,
    after: () => () => undefined,
    move: (ms) => {
      now += ms;
    },
  };
}
