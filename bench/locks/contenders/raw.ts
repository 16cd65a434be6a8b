import { createHash, randomUUID } from "node:crypto";
import { acquireAndRelease, type Contender, type Lock } from "../contender.ts";

const RELEASE = 'return redis.call("GET", KEYS[1]) == ARGV[1] and redis.call("DEL", KEYS[1]) or 0';
const RELEASE_SHA = createHash("sha1").update(RELEASE).digest("hex");

/**
 * The floor: SET NX PX and a compare-and-delete script by its hash, on all nodes at once, and nothing else. No time limit, no look at
 * the time that was left, no undoing of a minority.
 */
export const raw: Contender = {
  name: "raw SET and DEL",
  redisKey: (key) => key,
  open(clients, ttlMs) {
    const isQuorum = (answers: readonly boolean[]): boolean => answers.filter(Boolean).length > clients.length / 2;
    const loaded = Promise.all(clients.map((client) => client.script("LOAD", RELEASE)));
    const lock: Lock = {
      async acquire(key) {
        await loaded;
        const owner = randomUUID();
        const answers = await Promise.all(clients.map((client) => client.set(key, owner, "PX", ttlMs, "NX")));
        if (!isQuorum(answers.map((answer) => answer === "OK"))) return null;
        return {
          async release() {
            await Promise.all(clients.map((client) => client.evalsha(RELEASE_SHA, 1, key, owner)));
          },
        };
      },
      cycle: (key) => acquireAndRelease(lock, key),
      close: async () => {},
    };
    return lock;
  },
};
