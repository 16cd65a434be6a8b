import { setTimeout as delay } from "node:timers/promises";
import { createExclaim } from "exclaim";
import type { Redis } from "ioredis";
import pg from "pg";
import type { Stage } from "../stage.ts";
import { monotonicMs } from "./monotonic.ts";

/** Longer than any cycle. */
const RIVAL_TTL_MS = 10_000;
const TAKE_LIMIT_MS = 60_000;

/** Others, who want the keys that a paused process holds. */
export interface Rivals {
  /** Waits for each key to be free and takes it. Returns when each was theirs, on the machine's monotonic clock. */
  take(keys: readonly string[]): Promise<readonly number[]>;
  /** Gives back what was taken. */
  release(): Promise<void>;
}

/** By SET NX PX, as any other user of the same Redis: no package's own time limit or pause comes into it. */
export function redisRivals(client: Redis, redisKey: (key: string) => string): Rivals {
  return {
    async take(keys) {
      const takenAtMs = new Map<string, number>();
      const limitMs = monotonicMs() + TAKE_LIMIT_MS;
      while (takenAtMs.size < keys.length) {
        if (monotonicMs() > limitMs) throw new Error("a paused process kept its keys: it is not paused");
        const wanted = keys.filter((key) => !takenAtMs.has(key));
        const remaining = await pipelined(client, wanted, (pipeline, key) => pipeline.pttl(redisKey(key)));
        await delay(Math.max(0, ...remaining.map(Number)) + 1);
        const answers = await pipelined(client, wanted, (pipeline, key) =>
          pipeline.set(redisKey(key), "rival", "PX", RIVAL_TTL_MS, "NX"),
        );
        const nowMs = monotonicMs();
        for (const [index, key] of wanted.entries()) if (answers[index] === "OK") takenAtMs.set(key, nowMs);
      }
      return keys.map((key) => takenAtMs.get(key) ?? Number.NaN);
    },
    // Keys are not used twice, so they may run out.
    release: async () => {},
  };
}

async function pipelined(
  client: Redis,
  keys: readonly string[],
  add: (pipeline: ReturnType<Redis["pipeline"]>, key: string) => unknown,
): Promise<unknown[]> {
  const pipeline = client.pipeline();
  for (const key of keys) add(pipeline, key);
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}

/** By a claim of the same resource; each writes an effect of its own under its token. */
export function claimRivals(stage: Stage, url: string, schema: string): Rivals {
  const database = new pg.Pool({ connectionString: url });
  const exclaim = createExclaim({ database, schema, ttlMs: RIVAL_TTL_MS });
  stage.atEnd(async () => {
    await exclaim.close({ drainMs: 0 });
    await database.end();
  });
  const resource = exclaim.resource("paused");
  let finish = (): void => {};
  let claims: Promise<unknown>[] = [];
  return {
    async take(keys) {
      const finished = new Promise<void>((done) => {
        finish = done;
      });
      const taken = keys.map(
        (key) =>
          new Promise<number>((resolve, reject) => {
            const claim = resource.claim({ key, waitMs: TAKE_LIMIT_MS }, async (held) => {
              await held.transaction((tx) =>
                tx.query(`insert into ${schema}.effect (key, token) values ($1, $2)`, [key, String(tx.token)]),
              );
              resolve(monotonicMs());
              await finished;
            });
            claims.push(claim);
            claim.then((outcome) => reject(new Error(`a rival's claim ended ${outcome.status}`, { cause: outcome })), reject);
          }),
      );
      return Promise.all(taken);
    },
    async release() {
      finish();
      await Promise.all(claims);
      claims = [];
    },
  };
}
