import { describe, expect, it } from "vitest";
import { memoryLedger } from "../../src/ledger/memory.ts";
import { MemoryOutbox } from "../../src/ledger/memory-outbox.ts";
import { type MemoryResources, memoryResources } from "../../src/ledger/memory-resources.ts";
import type { Spacing } from "../../src/ledger/resource-ledger.ts";
import { type ResourceFixture, requestFor } from "../conformance/resource/fixture.ts";
import { resourceConformance } from "../conformance/resource-conformance.ts";

resourceConformance("memory", createMemoryResources);

describe("the leases of the memory ledger alone", () => {
  it("R3 end at the very millisecond", async () => {
    const { ledger, advance } = openMemory();
    await take(ledger);

    advance(999.5);
    const justBefore = await take(ledger);
    advance(0.5);
    const then = await take(ledger);

    expect(justBefore).toEqual({ status: "contended", retryAfterMs: 1, tooEarly: false });
    expect(then).toMatchObject({ status: "held", resumed: true });
  });

  it("R6 let a beat be taken at the very millisecond, 100 times over, and at none before", async () => {
    const { ledger, advance, now } = openMemory();
    const spacing: Spacing = { from: "beat", intervalMs: 1_000 };
    const takenAtMs: number[] = [];

    for (let count = 0; count < 100; count += 1) {
      const answer = await take(ledger, spacing);
      if (answer?.status !== "held") throw new Error(`Beat ${count} was answered ${answer?.status}.`);
      takenAtMs.push(now());
      advance((count * 37) % 990);
      await ledger.end([{ lease: answer.lease, how: "completed" }]);
      const wait = await take(ledger, spacing);
      if (wait?.status !== "contended") throw new Error(`After beat ${count} the key was ${wait?.status}.`);
      advance(wait.retryAfterMs - 1);
      expect(await take(ledger, spacing)).toEqual({ status: "contended", retryAfterMs: 1, tooEarly: true });
      advance(1);
    }

    expect(takenAtMs).toEqual(Array.from({ length: 100 }, (_, index) => index * 1_000));
  });

  it("take effect before they are answered", async () => {
    const { ledger } = openMemory();

    const pending = take(ledger);
    const atOnce = ledger.leases().map(({ status }) => status);
    await pending;

    expect(atOnce).toEqual(["held"]);
  });

  it("publish into one outbox with the claims, in commit order", async () => {
    const outbox = new MemoryOutbox();
    const { ledger, clock } = openMemory(outbox);
    const claims = memoryLedger({ clock, outbox, tables: { voucher_item: [{ id: 1, user_id: null }] } });
    const [held] = await ledger.take({ resource: "order", ttlMs: 1_000, requests: [requestFor("42")] });
    const [claimed] = await claims.claim({
      pool: { table: "voucher_item", ownerColumn: "user_id" },
      ttlMs: 1_000,
      rerun: false,
      requests: [{ scope: {}, claimant: "7", holder: "a", messageId: null, pick: null }],
    });
    if (held?.status !== "held" || claimed?.status !== "claimed") throw new Error("Nothing was held.");

    await ledger.transact(held.lease, (tx) => tx.publish("first", 1));
    await claims.transact(claimed.claim, (tx) => tx.publish("second", 2));

    const published = [
      { id: "message-1", topic: "first", payload: 1 },
      { id: "message-2", topic: "second", payload: 2 },
    ];
    expect(outbox.published).toEqual(published);
    expect(claims.published).toEqual(published);
  });
});

function openMemory(outbox = new MemoryOutbox()) {
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    after: () => {
      throw new Error("The memory ledger sets no timers.");
    },
  };
  const advance = (ms: number): void => {
    nowMs += ms;
  };
  return { ledger: memoryResources({ clock, outbox }), advance, clock, now: clock.now };
}

async function take(ledger: MemoryResources, spacing: Spacing = { from: "none" }) {
  const [answer] = await ledger.take({ resource: "order", ttlMs: 1_000, requests: [requestFor("42", { spacing })] });
  return answer;
}

async function createMemoryResources(): Promise<ResourceFixture> {
  const { ledger, advance, now } = openMemory();
  return {
    ledger,
    leases: async () =>
      ledger.leases().map((lease) => ({
        ...lease,
        notBeforeUs: lease.notBeforeMs === null ? null : BigInt(Math.round(lease.notBeforeMs * 1_000)),
        sharers: lease.sharers.size,
      })),
    published: async () => [...ledger.outbox.published],
    // A turn of the event loop too, so that those who wait for time to pass take turns.
    elapse: async (ms) => {
      advance(ms);
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
    now,
    beats: 100,
    close: async () => {},
  };
}
