import { setImmediate } from "node:timers/promises";
import { redlock } from "../../src/lock/redlock.ts";
import type { RedisClient } from "../../src/lock/redlock-nodes.ts";

export type ScriptName = "acquire" | "extend" | "release";

/** A command under way: the test decides when it is answered, and how. */
export interface Call {
  readonly script: ScriptName;
  readonly by: "evalsha" | "eval";
  answer(reply: unknown): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A node that answers nothing by itself. */
export interface ScriptedNode extends RedisClient {
  /** Every command so far, in order. */
  readonly calls: readonly Call[];
  /** `script by` of every command so far. */
  log(): string[];
}

export async function scriptedNodes(count: number): Promise<ScriptedNode[]> {
  const names = await scriptNames();
  return Array.from({ length: count }, (_, index) => {
    const calls: Call[] = [];
    const record = (by: Call["by"]) => (script: string) =>
      new Promise<unknown>((resolve, reject) => {
        calls.push({
          script: names.get(script) ?? "acquire",
          by,
          answer: async (reply) => {
            resolve(reply);
            await setImmediate();
          },
          fail: async (error) => {
            reject(error);
            await setImmediate();
          },
        });
      });
    return {
      calls,
      log: () => calls.map(({ script, by }) => `${script} ${by}`),
      evalsha: record("evalsha"),
      eval: record("eval"),
      options: { host: "node", port: index + 1 },
    };
  });
}

/** Which script a digest or a text is, learnt from a lock that is made to use each of them once. */
async function scriptNames(): Promise<ReadonlyMap<string, ScriptName>> {
  const names = new Map<string, ScriptName>();
  let current: ScriptName = "acquire";
  const lock = redlock([
    {
      evalsha: async (digest) => {
        names.set(digest, current);
        throw new Error("NOSCRIPT No matching script.");
      },
      eval: async (text) => {
        names.set(text, current);
        return "yes";
      },
    },
  ]);
  const lease = { key: "key", owner: "owner", ttlMs: 60_000 };
  await lock.acquire(lease.key, lease);
  current = "extend";
  await lock.extend(lease);
  current = "release";
  await lock.release(lease);
  return names;
}
