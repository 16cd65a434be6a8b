import { randomUUID } from "node:crypto";
import type { LockAttempt, LockBackend, LockLease, LockMode } from "../../../src/lock/lock.ts";
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

/** Makes a back-end over clients of its own. Where leases end with their session, each call makes another session of the same server. */
export type CreateLock = () => Promise<LockUnderTest> | LockUnderTest;

/** Long enough that nothing runs out while a test works. */
export const LONG_TTL_MS = 60_000;

/** Whole seconds, for servers that count in them; long enough that a call's time limit, a part of it, bears a busy machine. */
export const SHORT_TTL_MS = 4_000;

/** What one who asks may want; everything else is chosen for it. */
interface Wish {
  readonly key?: string;
  readonly owner?: string;
  readonly ttlMs?: number;
  readonly mode?: LockMode;
  readonly queue?: boolean;
}

/** A lock with a key of its own that closes itself. */
export async function openLock(create: CreateLock) {
  const lock = await create();
  const { backend } = lock;
  const ownKey = `conformance:${randomUUID()}:`;
  const ask = ({ key = ownKey, owner = systemRandom.id(), ttlMs = LONG_TTL_MS, ...rest }: Wish = {}): Promise<LockAttempt> =>
    backend.acquire(key, { ttlMs, owner, ...rest });
  const take = async (wish: Wish = {}): Promise<LockLease> => {
    const { lease } = await ask(wish);
    if (lease === null) throw new Error(`${JSON.stringify((wish.key ?? ownKey).slice(0, 100))} is held by somebody else`);
    return lease;
  };
  return {
    backend,
    key: ownKey,
    isHeld: (key = ownKey) => lock.isHeld(key),
    elapse: (ms: number) => lock.elapse(ms),
    /** One attempt at the test's key, by somebody new unless told otherwise. */
    ask,
    /** Asks, and fails unless that wins. */
    take,
    attempt: (key: string, ttlMs = LONG_TTL_MS) => ask({ key, ttlMs }),
    win: (key: string, ttlMs = LONG_TTL_MS) => take({ key, ttlMs }),
    /** Gives up a place in the line of the test's key. */
    leave: (owner: string) => backend.release({ key: ownKey, owner, ttlMs: LONG_TTL_MS }),
    /** As whoever renews leases does it: by one call where the back-end has one. */
    extendAll: (leases: readonly LockLease[]): Promise<readonly boolean[]> =>
      backend.extendMany?.(leases) ?? Promise.all(leases.map((lease) => backend.extend(lease))),
    [Symbol.asyncDispose]: async () => lock.close(),
  };
}

export type OpenedLock = Awaited<ReturnType<typeof openLock>>;

/** The owner of the attempt, or null when it did not win. */
export function ownerOf(attempt: LockAttempt): string | null {
  return attempt.lease?.owner ?? null;
}

/** Ids for as many owners. */
export function owners(count: number): string[] {
  return Array.from({ length: count }, () => systemRandom.id());
}
