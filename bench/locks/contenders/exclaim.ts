import { randomUUID } from "node:crypto";
import { createExclaim } from "exclaim";
import { redis } from "exclaim/lock/redis";
import { redlock } from "exclaim/lock/redlock";
import type { Redis } from "ioredis";
import { acquireAndRelease, type Contender, type Lock } from "../contender.ts";

type Backend = ReturnType<typeof redis>;

function backendOver(clients: readonly Redis[]): Backend {
  const [only] = clients;
  return clients.length === 1 && only !== undefined ? redis(only) : redlock(clients);
}

/** `exclaim.lock.acquire`, renewed, with `signal` and `assertHeld()`: redis() on one node, redlock() on more. */
export const exclaimLock: Contender = {
  name: "exclaim.lock",
  redisKey: (key) => key,
  open(clients, ttlMs) {
    const exclaim = createExclaim({ lock: backendOver(clients), ttlMs });
    const lock: Lock = {
      async acquire(key, waitMs) {
        const held = await exclaim.lock.acquire(key, { waitMs });
        if (held.status === "contended") return null;
        return {
          onLost: (listener) => held.signal.addEventListener("abort", listener, { once: true }),
          isHeld() {
            try {
              held.assertHeld();
              return true;
            } catch {
              return false;
            }
          },
          release: async () => void (await held.release()),
        };
      },
      async cycle(key) {
        const held = await exclaim.lock.acquire(key);
        if (held.status === "contended") throw new Error(`${key} should have been free`);
        await held.release();
      },
      close: () => exclaim.close({ drainMs: 0 }),
    };
    return lock;
  },
};

/** The bare back-end that `exclaim.lock` rests on: no renewal, no signal. */
export const exclaimBackend: Contender = {
  name: "exclaim back-end",
  redisKey: (key) => key,
  open(clients, ttlMs) {
    const backend = backendOver(clients);
    const lock: Lock = {
      async acquire(key) {
        const { lease } = await backend.acquire(key, { ttlMs, owner: randomUUID() });
        return lease && { release: async () => void (await backend.release(lease)) };
      },
      cycle: (key) => acquireAndRelease(lock, key),
      close: async () => {},
    };
    return lock;
  },
};
