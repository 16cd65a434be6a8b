import { type Clock, systemClock } from "../clock.ts";
import type { LockBackend, LockLease } from "./lock.ts";
import { assertConnections, assertPositive, assertReplicas, type RedisClient, type RedisSubscriber } from "./redis-client.ts";
import { RedisLeases } from "./redis-leases.ts";
import { Wakeups } from "./redis-wakeups.ts";

const WATCH_TIMEOUT_MS = 500;
/** While a script runs everybody else waits. */
const KEYS_PER_SCRIPT = 100;

export interface RedisLockOptions {
  /** Put before every key, for a Redis that other programs use too. @default "" */
  readonly prefix?: string;
  /** How long one call waits for Redis, in ms. @default 5 % of the lease's ttl, at least 50; 500 for a watch */
  readonly callTimeoutMs?: number;
  /**
   * A connection of its own, e.g. `client.duplicate()`, on which releases are heard at once. Give one in every process or in none:
   * only a back-end that has one tells of its releases. @default none: waiters poll
   */
  readonly subscriber?: RedisSubscriber;
  /**
   * A win counts once that many replicas have it too (WAIT), else it is undone. Not for a `Cluster`. The connection carries nothing
   * else until they have answered or `timeoutMs`, a whole number, is over. @default none are waited for
   */
  readonly replicas?: { readonly count: number; readonly timeoutMs: number };
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock held on one Redis, 6 or later, exclusive or shared.
 * Shape: one key, `prefix + key`. Held exclusively it is a string, the owner, with a PX of the ttl, as Redlock keeps it. Held by
 *   readers it is a sorted set of owners by the instant, in the server's time, at which each one's lease ends. Other programs that
 *   take the key by SET NX are excluded by both, and exclude us.
 * Unit: ms. Every call ends within `callTimeoutMs`, an acquisition with `replicas` within that twice and `replicas.timeoutMs`,
 *   whatever the client's own options are and however Redis hangs.
 * Connections: give locks their own, with `maxRetriesPerRequest: 1`, `enableOfflineQueue: false` and a `commandTimeout`, so that
 *   commands for a dead server fail at once instead of piling up in the client. Listen to their `error` events.
 * Known limits: a failover, a restart without `appendfsync always`, an eviction (set `noeviction`) or a step of the server's clock
 *   can end a lease early; `replicas` makes the first less likely. Readers that follow one another keep writers out: nobody queues.
 *   In a cluster leases are extended one by one, and every node hears of each release. The lock keeps the crowd away from the
 *   database; the ledger's token is what guards data.
 * Throws CONFIG_INVALID: not an ioredis client, one connection both for commands and to listen, a limit that cannot be kept.
 * Source: redis.io, commands SET, PUBLISH and WAIT, "Scripting with Lua".
 */
export function redis(client: RedisClient, options: RedisLockOptions = {}): LockBackend {
  const { prefix = "", callTimeoutMs, subscriber, replicas, clock = systemClock } = options;
  assertConnections(client, subscriber);
  if (callTimeoutMs !== undefined) assertPositive("callTimeoutMs", callTimeoutMs);
  if (replicas !== undefined) assertReplicas(client, replicas);
  const channelOf = (key: string) => `exclaim:released:${prefix}${key}`;
  const leases = new RedisLeases({
    client,
    clock,
    prefix,
    callTimeoutMs,
    replicas,
    channelOf: subscriber === undefined ? undefined : channelOf,
  });

  const backend: LockBackend = {
    name: "redis",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: false, push: subscriber !== undefined },

    async acquire(key, { ttlMs, owner, mode = "exclusive" }) {
      assertPositive("ttlMs", ttlMs);
      return leases.acquire({ key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) });
    },

    extend: async (lease) => (await leases.extend([lease]))[0] === true,

    release: (lease) => leases.release(lease),
  };
  // The keys of one script must be on one node.
  if (client.isCluster !== true) backend.extendMany = (many) => extendInParts(leases, many);
  if (subscriber !== undefined) {
    const wakeups = new Wakeups(subscriber, clock);
    const limitMs = callTimeoutMs ?? WATCH_TIMEOUT_MS;
    backend.watch = ({ key }, wake) =>
      wakeups.watch(channelOf(key), wake, { task: `watch ${JSON.stringify(key.slice(0, 100))}`, limitMs });
  }
  return backend;
}

async function extendInParts(leases: RedisLeases, many: readonly LockLease[]): Promise<readonly boolean[]> {
  const parts: Promise<readonly boolean[]>[] = [];
  for (let start = 0; start < many.length; start += KEYS_PER_SCRIPT) {
    parts.push(leases.extend(many.slice(start, start + KEYS_PER_SCRIPT)));
  }
  return (await Promise.all(parts)).flat();
}
