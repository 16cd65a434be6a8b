import { createRequire } from "node:module";
import type { Redis } from "ioredis";
import { acquireAndRelease, type Contender, type Hold, type Lock } from "../contender.ts";

/** What is used of redlock 4, which has no types of its own. */
export interface Redlock4 {
  lock(key: string, ttlMs: number): PromiseLike<Redlock4Lock>;
}

export interface Redlock4Lock {
  /** Of the wall clock. */
  readonly expiration: number;
  extend(ttlMs: number): PromiseLike<Redlock4Lock>;
  unlock(): PromiseLike<void>;
}

export interface Redlock4Options {
  readonly retryCount?: number;
  readonly retryDelay?: number;
  readonly retryJitter?: number;
}

type Redlock4Constructor = new (clients: readonly Redis[], options?: Redlock4Options) => Redlock4;

const Constructor = createRequire(import.meta.url)("redlock-4") as Redlock4Constructor;

const DEFAULT_RETRY_DELAY_MS = 200;

export function openRedlock4(clients: readonly Redis[], options: Redlock4Options): Redlock4 {
  return new Constructor(clients, options);
}

export interface Redlock4Use {
  readonly name: string;
  /** Its README shows `extend` for work that outlasts the ttl: each half ttl, until it is refused. */
  readonly extendsByHand?: boolean;
  /** `lock.expiration` is there to be compared, though no example does. */
  readonly comparesExpiration?: boolean;
}

/** redlock 4: `lock`, work, `unlock`. It renews nothing and tells of nothing. */
export function redlock4Used(use: Redlock4Use): Contender {
  return {
    name: use.name,
    redisKey: (key) => key,
    open(clients, ttlMs) {
      // It ignores a number of retries given with the call when that is 0, so there is an instance for each.
      const byRetries = new Map<number, Redlock4>();
      const retrying = (retryCount: number): Redlock4 => {
        const redlock = byRetries.get(retryCount) ?? new Constructor(clients, { retryCount });
        byRetries.set(retryCount, redlock);
        return redlock;
      };
      const lock: Lock = {
        async acquire(key, waitMs) {
          const redlock = retrying(Math.ceil(waitMs / DEFAULT_RETRY_DELAY_MS));
          const held = await redlock.lock(key, ttlMs).then(
            (won) => won,
            () => null,
          );
          return held && holdOf(held, ttlMs, use);
        },
        cycle: (key) => acquireAndRelease(lock, key),
        close: async () => {},
      };
      return lock;
    },
  };
}

export const redlock4 = redlock4Used({ name: "redlock 4" });

function holdOf(held: Redlock4Lock, ttlMs: number, use: Redlock4Use): Hold {
  let refused = false;
  const refuse = (): void => {
    refused = true;
    clearInterval(timer);
  };
  const extend = (): void => {
    held.extend(ttlMs).then(() => {}, refuse);
  };
  const timer = use.extendsByHand ? setInterval(extend, ttlMs / 2) : undefined;
  return {
    isHeld: () => !refused && (!use.comparesExpiration || held.expiration > Date.now()),
    async release() {
      clearInterval(timer);
      await held.unlock();
    },
  };
}
