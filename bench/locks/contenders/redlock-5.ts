import { createRequire } from "node:module";
import type { Redis } from "ioredis";
import { acquireAndRelease, type Contender, type Hold, type Lock } from "../contender.ts";

interface Settings {
  readonly retryCount?: number;
  readonly automaticExtensionThreshold?: number;
}

/** What is used of redlock 5, whose own types no module resolution finds. */
interface Redlock5 {
  acquire(keys: readonly string[], ttlMs: number, settings: Settings): Promise<{ release(): Promise<unknown> }>;
  using<T>(
    keys: readonly string[],
    ttlMs: number,
    settings: Settings,
    routine: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
}

const { default: Redlock } = createRequire(import.meta.url)("redlock-5") as {
  default: new (clients: readonly Redis[], settings: Settings) => Redlock5;
};

const DEFAULT_RETRY_DELAY_MS = 200;

/** As many as fit into the wait. Per call: an instance without retries extends in a hot loop. */
function retries(waitMs: number): Settings {
  return { retryCount: Math.ceil(waitMs / DEFAULT_RETRY_DELAY_MS) };
}

/** Its default, 500 ms, is a quarter of the ttl of the failure table, and too long for the shorter ones. */
function threshold(ttlMs: number): Settings {
  return { automaticExtensionThreshold: Math.round(ttlMs / 4) };
}

/** redlock 5 `using`: extended by itself, with a signal that the routine looks at before each effect. */
export const redlock5Using: Contender = {
  name: "redlock 5 using",
  redisKey: (key) => key,
  open(clients, ttlMs) {
    const redlock = new Redlock(clients, threshold(ttlMs));
    return {
      acquire: (key, waitMs) =>
        new Promise<Hold | null>((resolve) => {
          let finish = (): void => {};
          const finished = new Promise<void>((done) => {
            finish = done;
          });
          const use = redlock.using([key], ttlMs, retries(waitMs), (signal) => {
            resolve({
              onLost: (listener) => signal.addEventListener("abort", listener, { once: true }),
              isHeld: () => !signal.aborted,
              async release() {
                finish();
                await use;
              },
            });
            return finished;
          });
          use.catch(() => resolve(null));
        }),
      cycle: (key) => redlock.using([key], ttlMs, {}, async () => {}),
      close: async () => {},
    };
  },
};

/** redlock 5 `acquire` and `release`, without extension. */
export const redlock5Acquire: Contender = {
  name: "redlock 5 acquire",
  redisKey: (key) => key,
  open(clients, ttlMs) {
    const redlock = new Redlock(clients, threshold(ttlMs));
    const lock: Lock = {
      async acquire(key, waitMs) {
        const held = await redlock.acquire([key], ttlMs, retries(waitMs)).catch(() => null);
        return held && { release: async () => void (await held.release()) };
      },
      cycle: (key) => acquireAndRelease(lock, key),
      close: async () => {},
    };
    return lock;
  },
};
