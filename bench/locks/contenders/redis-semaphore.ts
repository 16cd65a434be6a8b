import type { Redis } from "ioredis";
import { type LockOptions, Mutex, RedlockMutex } from "redis-semaphore";
import { acquireAndRelease, type Contender, type Lock } from "../contender.ts";

/** redis-semaphore: `Mutex` on one node, `RedlockMutex` on more, refreshed by itself, with `onLockLost` and `isAcquired`. */
export const redisSemaphore: Contender = {
  name: "redis-semaphore",
  redisKey: (key) => `mutex:${key}`,
  open(clients, ttlMs) {
    const lock: Lock = {
      async acquire(key, waitMs) {
        const listeners: (() => void)[] = [];
        const mutex = mutexOver(clients, key, {
          lockTimeout: ttlMs,
          onLockLost() {
            for (const listener of listeners) listener();
          },
          // A time of 0 is no attempt at all.
          ...(waitMs === 0 ? { acquireAttemptsLimit: 1 } : { acquireTimeout: waitMs }),
        });
        if (!(await mutex.tryAcquire())) return null;
        return {
          onLost: (listener) => void listeners.push(listener),
          isHeld: () => mutex.isAcquired,
          release: () => mutex.release(),
        };
      },
      cycle: (key) => acquireAndRelease(lock, key),
      close: async () => {},
    };
    return lock;
  },
};

function mutexOver(clients: readonly Redis[], key: string, options: LockOptions): Mutex | RedlockMutex {
  const [only] = clients;
  return clients.length === 1 && only !== undefined
    ? new Mutex(only, key, options)
    : new RedlockMutex([...clients], key, options);
}
