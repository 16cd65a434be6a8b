import { it } from "vitest";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, openLock, ownerOf, owners, SHORT_TTL_MS } from "./open-lock.ts";

/** L9: the line of those who ask with `queue`. */
export function line(create: CreateLock): void {
  it("L9 20 waiters win in the order in which they first asked, however often and in which order they ask again", async ({
    expect,
  }) => {
    await using lock = await openLock(create);
    let holder = await lock.take();
    const waiters = owners(20);
    for (const owner of waiters) await lock.ask({ owner, queue: true });

    const winners: string[][] = [];
    for (let left = [...waiters]; left.length > 0; ) {
      await lock.backend.release(holder);
      const won: string[] = [];
      for (const owner of [...left].reverse()) {
        const { lease } = await lock.ask({ owner, queue: true });
        if (lease === null) continue;
        won.push(owner);
        holder = lease;
      }
      winners.push(won);
      left = left.filter((owner) => !won.includes(owner));
      if (won.length === 0) break;
    }

    expect(winners).toEqual(waiters.map((owner) => [owner]));
    await lock.backend.release(holder);
    expect(await lock.isHeld()).toBe(false);
  });

  it("L9 an attempt without a place in the line does not overtake those who have one, and takes no place", async ({
    expect,
  }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    const [waiter = "", passerBy = ""] = owners(2);
    await lock.ask({ owner: waiter, queue: true });

    const whileHeld = await lock.ask({ owner: passerBy });
    await lock.backend.release(holder);
    const whileFree = await lock.ask({ owner: passerBy });
    const won = await lock.take({ owner: waiter, queue: true });
    await lock.backend.release(won);

    expect([whileHeld.lease, whileFree.lease]).toEqual([null, null]);
    expect(ownerOf(await lock.ask({ owner: "next" }))).toBe("next");
  });

  it("L9 a waiter that gives its place up, at the head or in the middle, lets the next one pass", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    const [first = "", second = "", third = "", last = ""] = owners(4);
    for (const owner of [first, second, third, last]) await lock.ask({ owner, queue: true });

    const givenUp = [await lock.leave(third), await lock.leave(first)];
    await lock.backend.release(holder);

    expect(givenUp).toEqual([false, false]);
    expect(ownerOf(await lock.ask({ owner: last, queue: true }))).toBeNull();
    const won = await lock.take({ owner: second, queue: true });
    await lock.backend.release(won);
    expect(ownerOf(await lock.ask({ owner: last, queue: true }))).toBe(last);
  });

  it("L9 a line that everybody has left is as if it had never been", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    const waiters = owners(3);
    for (const owner of waiters) await lock.ask({ owner, queue: true });

    for (const owner of waiters) await lock.leave(owner);
    await lock.backend.release(holder);

    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L9 a holder that asks with a place gives the key back as any other, and leaves no place behind", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take({ queue: true });
    const again = await lock.take({ owner: holder.owner, queue: true });

    expect(again).toEqual(holder);
    expect(await lock.backend.release(holder)).toBe(true);
    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });
}

/** L9 together with L8. */
export function sharedLine(create: CreateLock): void {
  it("L8 L9 shared waiters stay behind an exclusive one that came before them", async ({ expect }) => {
    await using lock = await openLock(create);
    const reader = await lock.take({ mode: "shared" });
    const [writer = "", late = ""] = owners(2);
    await lock.ask({ owner: writer, queue: true });

    const waiting = await lock.ask({ owner: late, mode: "shared", queue: true });
    const passingBy = await lock.ask({ mode: "shared" });
    await lock.backend.release(reader);
    const stillWaiting = await lock.ask({ owner: late, mode: "shared", queue: true });
    const written = await lock.take({ owner: writer, queue: true });
    await lock.backend.release(written);
    const atLast = await lock.ask({ owner: late, mode: "shared", queue: true });

    expect([waiting, passingBy, stillWaiting].map(ownerOf)).toEqual([null, null, null]);
    expect(ownerOf(atLast)).toBe(late);
  });

  it("L8 L9 shared waiters next to each other win together, and an exclusive one behind them after the last", async ({
    expect,
  }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    const [left = "", right = "", writer = ""] = owners(3);
    for (const owner of [left, right]) await lock.ask({ owner, mode: "shared", queue: true });
    await lock.ask({ owner: writer, queue: true });
    await lock.backend.release(holder);

    const readers = [
      await lock.take({ owner: right, mode: "shared", queue: true }),
      await lock.take({ owner: left, mode: "shared", queue: true }),
    ];
    const turns: (string | null)[] = [];
    for (const reader of readers) {
      turns.push(ownerOf(await lock.ask({ owner: writer, queue: true })));
      await lock.backend.release(reader);
    }
    turns.push(ownerOf(await lock.ask({ owner: writer, queue: true })));

    expect(turns).toEqual([null, null, writer]);
  });
}

/** L9 where places run out by themselves. The test waits, and can do so beside others. */
export function lineExpiry(create: CreateLock, { capabilities }: LockTraits): void {
  it("L9 a waiter that stops asking for its ttl lets the next one pass, and one that goes on asking keeps its place", async ({
    expect,
  }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    const [gone = "", asking = "", last = ""] = owners(3);
    await lock.ask({ owner: gone, ttlMs: SHORT_TTL_MS, queue: true });
    await lock.ask({ owner: asking, ttlMs: SHORT_TTL_MS, queue: true });
    await lock.ask({ owner: last, queue: true });
    await lock.backend.release(holder);
    const early = await lock.ask({ owner: asking, ttlMs: SHORT_TTL_MS, queue: true });
    await lock.elapse(2_400);
    await lock.ask({ owner: asking, ttlMs: SHORT_TTL_MS, queue: true });

    await lock.elapse(1_700 + capabilities.ttlGranularityMs);

    expect(ownerOf(early)).toBeNull();
    expect(ownerOf(await lock.ask({ owner: last, queue: true }))).toBeNull();
    expect(ownerOf(await lock.ask({ owner: asking, queue: true }))).toBe(asking);
  });
}

/** L9 where there is no line. */
export function noLine(create: CreateLock): void {
  it("L5 L9 asking for a place in a line changes nothing: the loser leaves nothing behind", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();

    const waiting = await lock.ask({ queue: true });
    await lock.backend.release(holder);

    expect(waiting.lease).toBeNull();
    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });
}
