import { type Clock, systemClock } from "../clock.ts";
import type { LockAttempt, LockBackend, LockLease } from "./lock.ts";
import { Ballot } from "./node-redlock-ballot.ts";
import { ownerOf, retryAfterMs } from "./node-redlock-holders.ts";
import { invalid, type Redlock4, type Redlock5, resolveInstance, type Verb } from "./node-redlock-instance.ts";
import { Intent } from "./node-redlock-intents.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 50;

export interface FromRedlockOptions {
  /** Put before every key. @default "" */
  readonly prefix?: string;
  /** How long one call waits for the instance's nodes, in ms. @default 5 % of the lease's ttl, at least 50 */
  readonly callTimeoutMs?: number;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock on the nodes of an instance of the published package `redlock`, beside other code that locks by that instance.
 * Shape: `new Redlock(clients, settings)` of version 4.2 or 5.0.0-beta.2, over 1, 3, 5, ... ioredis clients, each of another master.
 *   On a node the lock is the string `prefix + key`, with the owner as its value.
 * What is the instance's: its clients, its scripts, its events. What is not: it never retries, waits, counts votes, gives back by
 *   itself or looks at the time. A node that hangs or a vote that is split does not hold a call up, a lock won too late is no lock,
 *   keys held by others are told from nodes that do not answer, and no event can end the process. The instance itself is not changed.
 * Unit: ms. Every call ends within `callTimeoutMs`; an acquisition that must see who holds the key, or give votes back, within that
 *   twice; one that finds its own lock there, three times.
 * Known limits: those of `redlock()`, which does the same without the package; besides, a node that lost the key is not given it
 *   again when the lease is extended.
 * Throws CONFIG_INVALID: not such an instance; no clients or an even number of them, one twice, one that is not of ioredis.
 * Source: the package's sources, 4.2.0 and 5.0.0-beta.2.
 */
export function fromRedlock(instance: Redlock4 | Redlock5, options: FromRedlockOptions = {}): LockBackend {
  const { prefix = "", callTimeoutMs, clock = systemClock } = options;
  if (callTimeoutMs !== undefined) assertPositive("callTimeoutMs", callTimeoutMs);
  const resolved = resolveInstance(instance);
  /** By owner and key, while any node still owes an answer about them. */
  const intents = new Map<string, Intent>();

  function ballot(verb: Verb, lease: LockLease): Ballot {
    const intent = Intent.of(lease, intents);
    if (verb !== "extend") intent.isWanted = verb === "acquire";
    const limitMs = callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, lease.ttlMs * CALL_TIMEOUT_TTL_FRACTION);
    return new Ballot({ instance: resolved, verb, lease, resource: prefix + lease.key, intent, limitMs, clock });
  }

  async function extend(lease: LockLease): Promise<boolean> {
    const extension = ballot("extend", lease);
    const verdict = await extension.poll();
    if (verdict === "yes" && extension.isInTime) return true;
    if (verdict !== "no") throw extension.unreachable();
    void extension.giveUp();
    return false;
  }

  return {
    name: "node-redlock",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false, push: false },

    async acquire(key, { ttlMs, owner, mode }): Promise<LockAttempt> {
      assertPositive("ttlMs", ttlMs);
      if (mode === "shared") throw invalid('node-redlock locks have no shared mode: use "exclusive", or another back-end.');
      const lease: LockLease = { key, owner, ttlMs };
      const attempt = ballot("acquire", lease);
      const verdict = await attempt.poll();
      if (verdict === "yes" && attempt.isInTime) return { lease };
      const isRefused = verdict !== "yes" && attempt.isAnswered;
      const holders = isRefused ? await attempt.holders() : [];
      // Its script refuses whoever has the key already.
      if (ownerOf(holders, attempt.quorum) === owner && (await extend(lease))) return { lease };
      const free = attempt.count("yes");
      await attempt.giveUp();
      if (!isRefused) throw attempt.unreachable();
      return { lease: null, retryAfterMs: retryAfterMs(holders, attempt.quorum, free, attempt.elapsedMs, ttlMs) };
    },

    extend,

    async release(lease) {
      const handover = ballot("release", lease);
      const verdict = await handover.poll();
      if (!handover.isAnswered) throw handover.unreachable();
      return verdict !== "no";
    },
  };
}

function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) {
    throw invalid(`node-redlock: ${name} is a positive number of ms, not ${valueMs}.`);
  }
}
