import { randomUUID } from "node:crypto";
import { it } from "vitest";
import type { LockBackend, LockMode } from "../../../src/lock/lock.ts";
import { eventually } from "../../support/eventually.ts";
import { Holder } from "./holder.ts";
import type { ProductBed } from "./lock-products.ts";
import { LONG_TTL_MS, ownerOf, owners } from "./open-lock.ts";

/** A server that is told to end a session tells its holder in its own time. */
const SESSION_END_MS = 15_000;

/** What two back-ends with clients of their own see of each other, and the server of both. */
export function acrossClients(bed: ProductBed): void {
  const { capabilities } = bed.product;

  it("L1 L2 clients exclude each other, and a lease is extended and given back by its own alone", async ({ expect }) => {
    await using pair = await openPair(bed);
    const { one, other, key, server } = pair;
    const lease = await pair.take(one);

    const refused = await other.acquire(key, { ttlMs: LONG_TTL_MS, owner: "other" });
    const stranger = [await other.extend({ ...lease, owner: "other" }), await other.release({ ...lease, owner: "other" })];
    const during = await server.holders(key);
    await one.release(lease);
    const afterwards = await server.holders(key);

    expect(refused.lease).toBeNull();
    expect(stranger).toEqual([false, false]);
    expect([during, afterwards]).toEqual([1, 0]);
    expect(ownerOf(await other.acquire(key, { ttlMs: LONG_TTL_MS, owner: "other" }))).toBe("other");
  });

  it("L2 a key that was taken from its holder is lost: extend is false and does not bring it back", async ({ expect }) => {
    await using pair = await openPair(bed);
    const { one, other, key, server } = pair;
    const lease = await pair.take(one);

    await server.remove(key);

    await eventually(async () => !(await one.extend(lease)), {
      timeoutMs: SESSION_END_MS,
      what: "the holder's learning of it",
    });
    expect(await one.extend(lease)).toBe(false);
    expect(await server.holders(key)).toBe(0);
    const next = await other.acquire(key, { ttlMs: LONG_TTL_MS, owner: "next" });
    expect(ownerOf(next)).toBe("next");
    expect(await one.release(lease)).toBe(false);
    expect(await server.holders(key)).toBe(1);
  });

  if (capabilities.shared) {
    it("L8 shared leases of two clients are two holders to the server", async ({ expect }) => {
      await using pair = await openPair(bed);
      const { one, other, key, server } = pair;
      const lease = await pair.take(one, "shared");
      await pair.take(other, "shared");

      const both = await server.holders(key);
      await one.release(lease);

      expect([both, await server.holders(key)]).toEqual([2, 1]);
      expect((await one.acquire(key, { ttlMs: LONG_TTL_MS, owner: "writer" })).lease).toBeNull();
    });
  }

  if (capabilities.fifo) {
    it("L9 the waiters of two clients stand in one line", async ({ expect }) => {
      await using pair = await openPair(bed);
      const { one, other, key } = pair;
      let holder = { backend: one, lease: await pair.take(one) };
      const waiters = owners(10).map((owner, index) => ({ owner, backend: index % 2 === 0 ? one : other }));
      const ask = ({ backend, owner }: (typeof waiters)[number]) =>
        backend.acquire(key, { ttlMs: LONG_TTL_MS, owner, queue: true });
      for (const waiter of waiters) await ask(waiter);

      const winners: string[] = [];
      for (let left = [...waiters]; left.length > 0 && winners.length < 20; ) {
        await holder.backend.release(holder.lease);
        for (const waiter of [...left].reverse()) {
          const { lease } = await ask(waiter);
          if (lease === null) continue;
          winners.push(waiter.owner);
          holder = { backend: waiter.backend, lease };
          left = left.filter(({ owner }) => owner !== waiter.owner);
        }
      }

      expect(winners).toEqual(waiters.map(({ owner }) => owner));
    });
  }

  if (capabilities.fifo) {
    it("L9 those who wait through lock.acquire, in two processes, win in the order in which they came", async ({ expect }) => {
      const { product } = bed;
      await using one = await Holder.open(product, await bed.urls(), LONG_TTL_MS);
      await using other = await Holder.open(product, await bed.urls(), LONG_TTL_MS);
      const key = `clients:${randomUUID()}`;
      const first = await one.hold(key);
      const order: number[] = [];

      const waiting: Promise<unknown>[] = [];
      for (let index = 0; index < 10; index += 1) {
        const holder = index % 2 === 0 ? one : other;
        const { answered } = holder;
        const winning = holder.hold(key, 30_000).then(async (hold) => {
          order.push(index);
          await hold.release();
        });
        waiting.push(winning);
        await eventually(() => holder.answered > answered, { what: "a place in the line" });
      }
      await first.release();
      await Promise.all(waiting);

      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
  }

  if (capabilities.push) {
    it("L10 a waiter is woken when another client gives the key back", async ({ expect }) => {
      await using pair = await openPair(bed);
      const { one, other, key } = pair;
      const lease = await pair.take(one);
      let wakes = 0;
      await other.acquire(key, { ttlMs: LONG_TTL_MS, owner: "waiter", queue: true });
      const stop = await other.watch?.({ key, owner: "waiter", mode: "exclusive" }, () => {
        wakes += 1;
      });

      await one.release(lease);

      await eventually(() => wakes > 0, { timeoutMs: 5_000, what: "the waiter's waking" });
      stop?.();
      expect(ownerOf(await other.acquire(key, { ttlMs: LONG_TTL_MS, owner: "waiter", queue: true }))).toBe("waiter");
    });
  }
}

async function openPair(bed: ProductBed) {
  const server = await bed.inspector();
  const opened = await Promise.all([bed.open(), bed.open()]);
  const key = `clients:${randomUUID()}`;
  return {
    key,
    server,
    one: opened[0].backend,
    other: opened[1].backend,
    take: async (backend: LockBackend, mode: LockMode = "exclusive") => {
      const { lease } = await backend.acquire(key, { ttlMs: LONG_TTL_MS, owner: owners(1)[0] ?? "", mode });
      if (lease === null) throw new Error("the key is held by somebody else");
      return lease;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(opened.map(({ close }) => close()));
    },
  };
}
