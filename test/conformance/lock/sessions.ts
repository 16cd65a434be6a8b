import { it } from "vitest";
import { eventually } from "../../support/eventually.ts";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, openLock, ownerOf, owners, SHORT_TTL_MS } from "./open-lock.ts";

/** Servers learn of the end of a session that was not said goodbye to by its timeout. */
const SESSION_END_MS = 15_000;

/** L3 where leases last as long as the session that holds them, instead of running out. Each test can wait beside the others. */
export function sessions(create: CreateLock, { capabilities }: LockTraits): void {
  it("L3 a lease that is not extended lasts as long as its session, beyond its ttl", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take({ ttlMs: SHORT_TTL_MS });

    await lock.elapse(4_500);

    expect(await lock.isHeld()).toBe(true);
    expect((await lock.ask()).lease).toBeNull();
    expect(await lock.backend.extend(lease)).toBe(true);
    expect(await lock.backend.release(lease)).toBe(true);
  });

  it("L3 a key is free again once the session of its holder has ended", async ({ expect }) => {
    await using other = await openLock(create);
    await using holder = await openLock(create);
    await holder.win(other.key);
    const refused = await other.ask();

    await holder[Symbol.asyncDispose]();

    expect(refused.lease).toBeNull();
    await eventually(async () => (await other.ask()).lease !== null, { timeoutMs: SESSION_END_MS, what: "a free key" });
  });

  if (capabilities.fifo) {
    it("L9 a waiter whose session has ended lets the next one pass", async ({ expect }) => {
      await using lock = await openLock(create);
      await using gone = await openLock(create);
      const holder = await lock.take();
      const [next = ""] = owners(1);
      await gone.ask({ key: lock.key, queue: true });
      await lock.ask({ owner: next, queue: true });
      await lock.backend.release(holder);
      const early = await lock.ask({ owner: next, queue: true });

      await gone[Symbol.asyncDispose]();

      expect(early.lease).toBeNull();
      const won = await eventually(async () => ownerOf(await lock.ask({ owner: next, queue: true })), {
        timeoutMs: SESSION_END_MS,
        what: "the next one's turn",
      });
      expect(won).toBe(next);
    });
  }
}
