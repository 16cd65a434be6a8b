import type { Redis } from "ioredis";

/** One way of locking with Redis, as its documentation tells people to use it. */
export interface Contender {
  readonly name: string;
  /** Where Redis has what is held as `key`. */
  redisKey(key: string): string;
  /** Works over one connection a node. Whoever opened them closes them, after `close()`. */
  open(clients: readonly Redis[], ttlMs: number): Lock;
}

export interface Lock {
  /** Waits up to about `waitMs` for other holders; null when they keep it. */
  acquire(key: string, waitMs: number): Promise<Hold | null>;
  /** Takes a key that nobody else wants and gives it back: what throughput counts. */
  cycle(key: string): Promise<void>;
  close(): Promise<void>;
}

export interface Hold {
  /** Calls `listener` when the package says that the lock is lost. Absent: it never says so. */
  readonly onLost?: (listener: () => void) => void;
  /** What a holder is told to ask before each effect. Absent: nothing to ask. */
  readonly isHeld?: () => boolean;
  release(): Promise<void>;
}

/** Acquires and releases, for packages without a shorter way. */
export async function acquireAndRelease(lock: Pick<Lock, "acquire">, key: string): Promise<void> {
  const hold = await lock.acquire(key, 0);
  if (hold === null) throw new Error(`${key} should have been free`);
  await hold.release();
}
