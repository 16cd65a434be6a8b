import { createExclaim, type Resource } from "exclaim";
import pg from "pg";
import { CONNECTIONS, connect } from "./connections.ts";
import type { Contender } from "./contender.ts";
import { exclaimLock } from "./contenders/exclaim.ts";
import { redisSemaphore } from "./contenders/redis-semaphore.ts";
import { redlock4Used } from "./contenders/redlock-4.ts";
import { redlock5Using } from "./contenders/redlock-5.ts";
import type { PauseSetup } from "./pause-calls.ts";

/** A key that is held, and work on it. */
export interface PausedHold {
  /** Does an effect if the lock still allows it. False: it does not, so the work on this key ends. */
  attempt(effect: () => void): Promise<boolean>;
  release(): Promise<void>;
}

/** One way to do effects under a lock. */
export interface PauseUse {
  readonly name: string;
  /** Where Redis has the key, for somebody else to take it; absent: it is claimed in PostgreSQL. */
  readonly redisKey?: (key: string) => string;
  /** Returns what takes a key that is free; null, or a rejection, when it could not. */
  open(setup: PauseSetup): Promise<(key: string) => Promise<PausedHold | null>>;
}

const START_LIMIT_MS = 5_000;

const FENCED = "exclaim.resource, claim.transaction()";

/**
 * Before each effect a holder asks what its package gives it to ask. The first two use `exclaim.lock`: `assertHeld()`, and the signal
 * alone, which a paused process hears too late like all others. redlock 4 is extended by hand each half ttl until that is refused,
 * as its README shows; then also with a look at `lock.expiration`, which no example of it has. redlock 5: `using`, `signal.aborted`.
 * redis-semaphore: `mutex.isAcquired`. The last writes in a transaction that PostgreSQL refuses to whoever's token is not the newest.
 */
export const PAUSE_USES: readonly PauseUse[] = [
  lockUse("exclaim.lock, assertHeld()", exclaimLock, "isHeld"),
  lockUse("exclaim.lock, signal alone", exclaimLock, "onLost"),
  lockUse("redlock 4, extended by hand", redlock4Used({ name: "", extendsByHand: true }), "isHeld"),
  lockUse("the same, lock.expiration", redlock4Used({ name: "", extendsByHand: true, comparesExpiration: true }), "isHeld"),
  lockUse("redlock 5 using, signal", redlock5Using, "isHeld"),
  lockUse("redis-semaphore, isAcquired", redisSemaphore, "isHeld"),
  { name: FENCED, open: openFenced },
];

function lockUse(name: string, contender: Contender, asks: "isHeld" | "onLost"): PauseUse {
  return {
    name,
    redisKey: (key) => contender.redisKey(key),
    async open({ redisUrl, ttlMs }) {
      const lock = contender.open(await connect([redisUrl], CONNECTIONS.limited(4 * ttlMs)), ttlMs);
      return async (key) => {
        const hold = await lock.acquire(key, START_LIMIT_MS);
        if (hold === null) return null;
        let lost = false;
        hold.onLost?.(() => {
          lost = true;
        });
        const mayAct = (): boolean => (asks === "isHeld" ? hold.isHeld?.() !== false : !lost);
        return {
          async attempt(effect) {
            if (!mayAct()) return false;
            effect();
            return true;
          },
          release: () => hold.release(),
        };
      };
    },
  };
}

async function openFenced({ databaseUrl, schema, ttlMs }: PauseSetup): Promise<(key: string) => Promise<PausedHold | null>> {
  const database = new pg.Pool({ connectionString: databaseUrl });
  const exclaim = createExclaim({ database, schema, ttlMs });
  const resource = exclaim.resource("paused");
  return (key) => claimOnce(resource, key, schema);
}

/** Resolves once the handler runs; null when it never did. */
function claimOnce(resource: Resource, key: string, schema: string): Promise<PausedHold | null> {
  return new Promise((resolve, reject) => {
    const claimed = resource.claim({ key }, async (claim) => {
      let finish = (): void => {};
      const finished = new Promise<void>((done) => {
        finish = done;
      });
      resolve({
        async attempt(effect) {
          try {
            await claim.transaction((tx) =>
              tx.query(`insert into ${schema}.effect (key, token) values ($1, $2)`, [key, String(tx.token)]),
            );
            effect();
            return true;
          } catch {
            return false;
          }
        },
        async release() {
          finish();
          await claimed;
        },
      });
      await finished;
    });
    claimed.then(() => resolve(null), reject);
  });
}
