import { randomUUID } from "node:crypto";
import type { TestContext } from "vitest";
import type { LockBackend, LockLease } from "../../../src/lock/lock.ts";
import { systemRandom } from "../../../src/random.ts";

/** One back-end, made for one test, and what the test needs to see of its server. */
export interface LockUnderTest {
  readonly backend: LockBackend;
  /** Whether the server has the key, read by the server's own client; for a quorum, whether most nodes have it. */
  isHeld(key: string): Promise<boolean> | boolean;
  /** Lets that much of the server's time pass. */
  elapse(ms: number): Promise<void>;
  close(): Promise<void> | void;
}

export type CreateLock = () => Promise<LockUnderTest> | LockUnderTest;

/** Long enough that nothing runs out while a test works. */
export const LONG_TTL_MS = 60_000;

/** A lock with a key of its own that closes itself. With `context`, only for back-ends whose leases run out by themselves. */
export async function openLock(create: CreateLock, context?: TestContext) {
  const lock = await create();
  const { backend } = lock;
  if (context !== undefined && backend.capabilities.expiry !== "ttl") {
    await lock.close();
    context.skip(`${backend.name} leases end with their session, not after a ttl`);
  }
  const attempt = (key: string, ttlMs = LONG_TTL_MS) => backend.acquire(key, { ttlMs, owner: systemRandom.id() });
  return {
    backend,
    key: `conformance:${randomUUID()}:`,
    isHeld: (key: string) => lock.isHeld(key),
    elapse: (ms: number) => lock.elapse(ms),
    /** One attempt by somebody new. */
    attempt,
    /** An attempt by somebody new that must win. */
    async win(key: string, ttlMs?: number): Promise<LockLease> {
      const { lease } = await attempt(key, ttlMs);
      if (lease === null) throw new Error(`${JSON.stringify(key.slice(0, 100))} is held by somebody else`);
      return lease;
    },
    [Symbol.asyncDispose]: async () => lock.close(),
  };
}
