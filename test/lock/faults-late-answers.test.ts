import { describe, expect, it } from "vitest";
import { EventSource } from "../../src/events.ts";
import { Holding } from "../../src/lease/holding.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { systemRandom } from "../../src/random.ts";
import { ManualClock } from "../support/manual-clock.ts";

const TTL_MS = 10_000;
/** More than the margin that a holder keeps. */
const LATE_MS = 900;

describe("a lock whose answers come late", () => {
  // The deadline counted from the reply was planted, of the acquisition and of a renewal: each outlives the server's lease here.
  it("L3 is trusted for less than its ttl from when it was asked for", async () => {
    const { lock, server, clock } = await holdLate();

    server.isAnswering = false;
    await clock.advance(TTL_MS - LATE_MS - 1);

    expect(lock.signal.aborted).toBe(true);
    expect(() => lock.assertHeld()).toThrow(expect.objectContaining({ code: "LEASE_LOST" }));
  });

  it("L3 is trusted for less than its ttl from when its last renewal was asked for", async () => {
    const { lock, server, clock } = await holdLate();
    await clock.advance(4_000);

    server.isAnswering = false;
    const askedAtMs = server.keptAtMs;
    await clock.advance(askedAtMs + TTL_MS - clock.now() - 1);

    expect(askedAtMs).toBeGreaterThan(3_000);
    expect(lock.signal.aborted).toBe(true);
  });

  it("L3 is not aborted long before its ttl is over", async () => {
    const { lock, server, clock } = await holdLate();

    server.isAnswering = false;
    await clock.advance(TTL_MS - LATE_MS - 500);

    expect(lock.signal.aborted).toBe(false);
    expect(() => lock.assertHeld()).not.toThrow();
  });
});

describe("a lock that is won when its lease is nearly over", () => {
  it("L6 is not won, and given back", async () => {
    const clock = new ManualClock();
    const server = memoryLock({ clock });
    const slow: LockBackend = {
      ...server,
      acquire: async (key, options) => {
        const attempt = await server.acquire(key, options);
        await new Promise<void>((resolve) => void clock.after(TTL_MS - 50, resolve));
        return attempt;
      },
    };
    const winning = holdingOf(slow, clock).acquire(["order:1"], { ttlMs: TTL_MS });
    const outcome = winning.catch((error: unknown) => error);

    await clock.advance(TTL_MS - 50);

    expect(await outcome).toMatchObject({ code: "LOCK_UNREACHABLE" });
    expect((await server.acquire("order:1", { ttlMs: TTL_MS, owner: "next" })).lease).not.toBeNull();
  });
});

/** A lock won by an answer that came late, from a server that answers late for as long as it answers. */
async function holdLate() {
  const clock = new ManualClock();
  const inner = memoryLock({ clock });
  const server = { isAnswering: true, keptAtMs: clock.now() };
  const late = async <T>(call: Promise<T>, sentAtMs: number): Promise<T> => {
    const answer = await call;
    await new Promise<void>((resolve) => void clock.after(LATE_MS, resolve));
    if (!server.isAnswering) throw new Error("the connection broke");
    server.keptAtMs = sentAtMs;
    return answer;
  };
  const backend: LockBackend = {
    ...inner,
    acquire: (key, options) => late(inner.acquire(key, options), clock.now()),
    extend: (lease) => late(inner.extend(lease), clock.now()),
  };
  const winning = holdingOf(backend, clock).acquire(["order:1"], { ttlMs: TTL_MS });
  await clock.advance(LATE_MS);
  const lock = await winning;
  if (lock.status !== "held") throw new Error("the key is held by somebody else");
  return { lock, server, clock };
}

function holdingOf(lock: LockBackend, clock: ManualClock): Holding {
  return new Holding({ clock, random: systemRandom, lock, events: new EventSource(), ttlMs: TTL_MS });
}
