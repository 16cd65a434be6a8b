import { type Clock, systemClock } from "../clock.ts";
import type { LockAttempt, LockBackend, LockLease } from "./lock.ts";
import {
  assertExclusive,
  assertPositive,
  type RedisClient,
  type RedisSubscriber,
  resolveNodes,
  resolveSubscribers,
} from "./redlock-nodes.ts";
import { type Cluster, Round } from "./redlock-round.ts";
import { ACQUIRE, EXTEND, RELEASE } from "./redlock-scripts.ts";
import { Wakeups } from "./redlock-wakeups.ts";

const WATCH_TIMEOUT_MS = 500;

export interface RedlockOptions {
  /** Put before every key, for nodes that other programs use too. @default "" */
  readonly prefix?: string;
  /** How long one call waits for its nodes, in ms. @default 5 % of the lease's ttl, at least 50; 500 for a watch */
  readonly nodeTimeoutMs?: number;
  /**
   * A connection of its own to each node, in the clients' order, e.g. `client.duplicate()`, on which releases are heard at once. Give
   * them in every process or in none: only a back-end that has them tells of its releases. @default none: waiters poll
   */
  readonly subscribers?: readonly RedisSubscriber[];
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock held on a majority of independent Redis masters, so that it outlives the failure of a minority.
 * Shape: 1, 3, 5, ... ioredis clients, each of another master; no Redis Cluster, no replicas of each other. On a node the lock is
 *   the string `prefix + key` with the owner as its value and a PX of the ttl.
 * Unit: ms. Every call ends within `nodeTimeoutMs`, or twice that when votes already won must be given back, whatever the
 *   clients' own options are and however many nodes hang.
 * Connections: give locks their own, with `maxRetriesPerRequest: 1`, `enableOfflineQueue: false` and a `commandTimeout`, so that
 *   commands for a dead node fail at once instead of piling up in the client. Listen to their `error` events.
 * Known limits: a node that restarts empty within a ttl can vote twice (delay its restart by the longest ttl, or let it fsync
 *   always); a node's clock that jumps ends leases early; a paused process works on after its lease. The lock keeps the crowd away
 *   from the database; the ledger's token is what guards data.
 * Throws CONFIG_INVALID: no clients or an even number of them, one client twice, something that is not an ioredis client.
 * Source: redis.io, "Distributed Locks with Redis"; M. Kleppmann, "How to do distributed locking" (2016), for the limits.
 */
export function redlock(clients: readonly RedisClient[], options: RedlockOptions = {}): LockBackend {
  const { prefix = "", nodeTimeoutMs, subscribers, clock = systemClock } = options;
  if (nodeTimeoutMs !== undefined) assertPositive("nodeTimeoutMs", nodeTimeoutMs);
  const nodes = resolveNodes(clients);
  const listeners = subscribers && resolveSubscribers(subscribers, nodes);
  const channelOf = listeners && ((key: string) => `exclaim:released:${prefix}${key}`);
  const cluster: Cluster = { nodes, prefix, nodeTimeoutMs, clock, channelOf, intents: new Map() };

  const backend: LockBackend = {
    name: "redlock",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false, push: listeners !== undefined },

    async acquire(key, { ttlMs, owner, mode }): Promise<LockAttempt> {
      assertPositive("ttlMs", ttlMs);
      assertExclusive(mode);
      const lease: LockLease = { key, owner, ttlMs };
      const round = new Round(cluster, lease, ACQUIRE);
      const verdict = await round.poll();
      if (verdict === "yes" && round.isInTime) return { lease };
      await round.giveUp();
      if (verdict === "yes" || !round.isAnswered) throw round.unreachable("acquire");
      return { lease: null, retryAfterMs: round.retryAfterMs() };
    },

    async extend(lease) {
      const round = new Round(cluster, lease, EXTEND);
      const verdict = await round.poll();
      if (verdict === "yes" && round.isInTime) {
        round.repair();
        return true;
      }
      if (verdict !== "no") throw round.unreachable("extend");
      void round.giveUp();
      return false;
    },

    async release(lease) {
      const round = new Round(cluster, lease, RELEASE);
      const verdict = await round.poll();
      if (!round.isAnswered) throw round.unreachable("release");
      return verdict !== "no";
    },
  };
  if (listeners !== undefined && channelOf !== undefined) {
    const wakeups = new Wakeups(listeners, clock);
    backend.watch = ({ key }, wake) => wakeups.watch(channelOf(key), wake, nodeTimeoutMs ?? WATCH_TIMEOUT_MS);
  }
  return backend;
}
