import { setTimeout as delay } from "node:timers/promises";
import { it } from "vitest";
import type { LockMode } from "../../../src/lock/lock.ts";
import { eventually } from "../../support/eventually.ts";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, type OpenedLock, openLock, ownerOf, owners } from "./open-lock.ts";

/** What is not told within this time is taken for not told at all. */
const QUIET_MS = 400;

/** L10: `watch`. Each test waits, and can do so beside the others. */
export function wakeUps(create: CreateLock, { capabilities }: LockTraits): void {
  it("L10 a waiter is woken when the key is given back, and then wins", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using waiter = await waits(lock);
    await delay(QUIET_MS);
    const wakesBefore = waiter.wakes();

    await lock.backend.release(holder);

    await waiter.woken(1);
    expect(wakesBefore).toBe(0);
    expect(await waiter.ask()).toBe(waiter.owner);
  });

  it("L10 a waiter that has stopped watching is not woken any more", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using stopped = await waits(lock);
    stopped.stop();
    await lock.leave(stopped.owner);
    await using watching = await waits(lock);

    await lock.backend.release(holder);

    await watching.woken(1);
    await delay(QUIET_MS);
    expect(stopped.wakes()).toBe(0);
  });

  it("L10 a waiter is woken at every time the key is given back, not only the first", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using waiter = await waits(lock);
    await lock.leave(waiter.owner);
    await lock.backend.release(holder);
    const next = await lock.take();
    await waiter.ask();
    const wakesBefore = waiter.wakes();

    await lock.backend.release(next);

    await waiter.woken(wakesBefore + 1);
    expect(await waiter.ask()).toBe(waiter.owner);
  });

  if (!capabilities.fifo) return;

  it("L10 of 20 waiters each release wakes the next one and no other", async ({ expect }) => {
    await using lock = await openLock(create);
    let holder = await lock.take();
    const waiters: Waiting[] = [];
    for (const owner of owners(20)) waiters.push(await waits(lock, { owner }));

    const wakes: number[][] = [];
    for (const next of waiters.slice(0, 3)) {
      const before = waiters.map((waiter) => waiter.wakes());
      await lock.backend.release(holder);
      await next.woken(1);
      await delay(QUIET_MS);
      wakes.push(waiters.flatMap((waiter, index) => (waiter.wakes() > (before[index] ?? 0) ? [index] : [])));
      holder = await lock.take({ owner: next.owner, queue: true });
      next.stop();
    }

    for (const waiter of waiters) waiter.stop();
    expect(wakes).toEqual([[0], [1], [2]]);
  });

  it("L10 when the next one gives up its turn, the one behind it is woken", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using first = await waits(lock);
    await using second = await waits(lock);
    await lock.backend.release(holder);
    await first.woken(1);

    await lock.leave(first.owner);

    await second.woken(1);
    expect(await second.ask()).toBe(second.owner);
  });

  it("L10 a waiter whose predecessor has left the line is woken when its turn has come all the same", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using first = await waits(lock);
    await using second = await waits(lock);
    await using third = await waits(lock);
    await lock.leave(second.owner);
    // A wake-up now may be a hint in vain: then it asks, is refused, and sleeps on.
    await delay(QUIET_MS);
    if (third.wakes() > 0) await third.ask();
    const wakesBefore = third.wakes();
    await lock.backend.release(holder);
    await first.woken(1);
    const won = await lock.take({ owner: first.owner, queue: true });

    await lock.backend.release(won);

    await third.woken(wakesBefore + 1);
    expect(await third.ask()).toBe(third.owner);
  });

  if (!capabilities.shared) return;

  it("L8 L10 shared waiters next to each other are all woken, and an exclusive one behind them is not", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();
    await using left = await waits(lock, { mode: "shared" });
    await using right = await waits(lock, { mode: "shared" });
    await using writer = await waits(lock);

    await lock.backend.release(holder);

    await Promise.all([left.woken(1), right.woken(1)]);
    await delay(QUIET_MS);
    expect(writer.wakes()).toBe(0);
    expect([await left.ask(), await right.ask()]).toEqual([left.owner, right.owner]);
  });
}

type Waiting = Awaited<ReturnType<typeof waits>>;

/** One who asked in vain, with a place in the line where there is one, and is told when to ask again. */
async function waits(lock: OpenedLock, { owner = owners(1)[0] ?? "", mode = "exclusive" as LockMode } = {}) {
  const ask = async () => ownerOf(await lock.ask({ owner, mode, queue: true }));
  if ((await ask()) !== null) throw new Error("whoever is to wait has won");
  let count = 0;
  const stop = await lock.backend.watch?.({ key: lock.key, owner, mode }, () => {
    count += 1;
  });
  if (stop === undefined) throw new Error(`${lock.backend.name} has no watch`);
  // What changed before the watch stood is seen by asking once more.
  if ((await ask()) !== null) throw new Error("whoever is to wait has won");
  return {
    owner,
    ask,
    stop,
    wakes: () => count,
    woken: (times: number) => eventually(() => count >= times, { timeoutMs: 5_000, what: `wake-up ${times} of a waiter` }),
    [Symbol.asyncDispose]: async () => stop(),
  };
}
