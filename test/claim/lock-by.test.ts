import { describe, expect, it } from "vitest";
import { rowKey, slotKey } from "../../src/claim/lock-key.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { gate, openEngine, TTL_MS } from "./engine-in-memory.ts";

describe("the outer lock", () => {
  it("keeps a second delivery of a claimant away from the ledger by default", async () => {
    const { vouchers, otherProcess, lock } = openEngine(2);
    const { opened, open } = gate();
    const first = vouchers.claim({ claimant: "7", scope: { code: "CODE-1" } }, () => opened);
    await Promise.resolve();

    const second = await otherProcess().claim({ claimant: "7", scope: { code: "CODE-1" } }, async () => {});
    const held = await lock.acquire(slotKey("voucher_item", { code: "CODE-1" }, "7"), { ttlMs: 100, owner: "someone" });
    open();
    await first;
    const free = await lock.acquire(slotKey("voucher_item", { code: "CODE-1" }, "7"), { ttlMs: 100, owner: "someone" });

    expect(second).toEqual({ status: "contended", retryAfterMs: TTL_MS });
    expect([held.lease, free.lease === null]).toEqual([null, false]);
  });

  it("is taken on the claimed row, and only on it, by lockBy row", async () => {
    const { vouchers, lock } = openEngine(1);
    const seen: boolean[] = [];

    await vouchers.claim({ claimant: "7", lockBy: "row" }, async (claim) => {
      const probe = { ttlMs: 100, owner: "someone" };
      seen.push((await lock.acquire(rowKey("voucher_item", claim.key), probe)).lease === null);
      seen.push((await lock.acquire(slotKey("voucher_item", {}, "7"), probe)).lease === null);
    });

    expect(seen).toEqual([true, false]);
  });

  it("is taken on both by lockBy both", async () => {
    const { vouchers, lock } = openEngine(1);
    const seen: boolean[] = [];

    await vouchers.claim({ claimant: "7", lockBy: "both" }, async (claim) => {
      const probe = { ttlMs: 100, owner: "someone" };
      seen.push((await lock.acquire(rowKey("voucher_item", claim.key), probe)).lease === null);
      seen.push((await lock.acquire(slotKey("voucher_item", {}, "7"), probe)).lease === null);
    });

    expect(seen).toEqual([true, true]);
  });

  it("leaves a row that other code has locked with its claimant, who gets it once it is free", async () => {
    const { vouchers, lock, rows } = openEngine(2);
    const foreign = await lock.acquire(rowKey("voucher_item", "1"), { ttlMs: 1_000, owner: "an operator" });

    const contended = await vouchers.claim({ claimant: "7", lockBy: "row" }, async () => {});
    if (foreign.lease !== null) await lock.release(foreign.lease);
    const resumed = await vouchers.claim({ claimant: "7", lockBy: "row" }, async (claim) => claim.key);

    expect(contended).toEqual({ status: "contended", retryAfterMs: 1_000 });
    expect(resumed).toEqual({ status: "completed", result: "1" });
    expect(rows.map((row) => row.user_id)).toEqual(["7", null]);
  });

  it("answers contended, not failed, when the claim was taken over while its row was found locked", async () => {
    const { opened, open } = gate();
    const inner = memoryLock();
    let taken: Promise<unknown> | undefined;
    const slowLock: LockBackend = {
      ...inner,
      async acquire(key, options) {
        if (key === rowKey("voucher_item", "1") && taken === undefined) {
          clock.stall(TTL_MS + 1);
          const started = gate();
          taken = otherProcess().claim({ claimant: "7" }, () => {
            started.open();
            return opened;
          });
          await started.opened;
        }
        return inner.acquire(key, options);
      },
    };
    const { vouchers, otherProcess, clock, ledger } = openEngine(1, { lock: slowLock });
    await inner.acquire(rowKey("voucher_item", "1"), { ttlMs: 60_000, owner: "an operator" });

    const late = await vouchers.claim({ claimant: "7", lockBy: "row" }, async () => {});
    const afterIt = ledger.claims().map(({ status, token }) => ({ status, token }));
    open();
    await taken;

    expect(late.status).toBe("contended");
    expect(afterIt).toEqual([{ status: "held", token: 2n }]);
  });

  // Planted: no outer lock and no lease check in the ledger (a live lease resumed); this test failed with two runs at once.
  it("S1 S2 is not what keeps two deliveries apart: the ledger does so without it", async () => {
    const { vouchers, otherProcess, ledger } = openEngine(5, { lock: false });
    let running = 0;
    let most = 0;
    const handler = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
    };

    await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? vouchers : otherProcess()).claim({ claimant: "7" }, handler)),
    );

    expect(most).toBe(1);
    expect(ledger.claims()).toHaveLength(1);
  });
});

describe("a lock key", () => {
  it("escapes its parts, so that different parts give different keys", () => {
    const keys = [
      slotKey("a:b", {}, "c"),
      slotKey("a", {}, "b:c"),
      slotKey("a", { x: "1&y=2" }, "c"),
      slotKey("a", { x: "1", y: "2" }, "c"),
      slotKey("a", {}, "row"),
      rowKey("a", ""),
      rowKey("a", "{x}*"),
    ];

    expect(new Set(keys).size).toBe(keys.length);
    expect(slotKey("voucher_item", { campaign_id: 42 }, "7")).toBe("exclaim:voucher_item:campaign_id=42:7");
    expect(slotKey("v", { b: 1, a: "x" }, "7")).toBe(slotKey("v", { a: "x", b: "1" }, "7"));
    expect(rowKey("shop.seat", "{12}")).toBe("exclaim:shop.seat:row:%7B12%7D");
  });
});
