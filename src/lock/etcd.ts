import { type Clock, systemClock } from "../clock.ts";
import { EtcdCall } from "./etcd-call.ts";
import { EtcdClient, type EtcdFetch } from "./etcd-client.ts";
import { assertPositive, resolveCredentials, resolveEndpoints } from "./etcd-endpoints.ts";
import { httpFetch } from "./etcd-http.ts";
import { remaining, revoke } from "./etcd-lease.ts";
import { type Line, look, lookAtAll, placeOf } from "./etcd-line.ts";
import { keep, tryFor } from "./etcd-take.ts";
import { watchPlace } from "./etcd-watch.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockLease, LockWaiter } from "./lock.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;
/** A watch has no ttl to take a part of. */
const WATCH_TIMEOUT_MS = 1_000;
/** A transaction has at most 128 operations and 1.5 MiB unless the server is told otherwise; a look takes two, and the key three times. */
const LOOKS_PER_TRANSACTION = 20;
const KEEPALIVES_AT_ONCE = 50;

export interface EtcdOptions {
  /** Put before every key, for clusters that other programs use too; rights can be granted on it. @default "" */
  readonly prefix?: string;
  /** For clusters that ask for a login. Its role must be allowed to read and write the prefix. @default no login */
  readonly username?: string;
  readonly password?: string;
  /** How long a whole call lasts at most, in ms; never longer than the ttl. @default 5 % of the lease's ttl, at least 250 */
  readonly callTimeoutMs?: number;
  /** Sends the requests, e.g. with a client certificate: the global `fetch`, or one around it. @default node:http(s) */
  readonly fetch?: EtcdFetch;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock on etcd 3: held by most members of a cluster, with a line of waiters in the order they came and a wake-up for the next.
 * Shape: URLs of the members' client ports, one or all; etcd 3.4 or later. Each contender is a key, `prefix + key`, `/exclusive/` or
 *   `/shared/`, and the owner, under a lease of its own, with the value `held` or `waiting`; the oldest key holds.
 * Unit: ms, but etcd counts ttl in whole seconds, rounded up, and gives no less than 1.5 times its election timeout, rounded up: 2 s with
 *   its defaults. It ends leases twice a second, so the key is free up to 1 s after that.
 * What if the process dies: its key ends with its lease, whether it held or waited. After a change of leader every lease begins anew, so
 *   others may wait up to a ttl and an election timeout longer.
 * Connections: HTTP requests to the member that answered last; when it is silent, to the next as well. A waiter that watches has a
 *   connection of its own.
 * Known limits: a member whose disk or processor stalls while it leads may end leases early (etcd-io/etcd 15247). Each acquisition leaves
 *   revisions behind: have the server compact them (`--auto-compaction-retention`). The lock keeps the crowd away from the database; the
 *   ledger's token is what guards data.
 * Throws CONFIG_INVALID: no endpoint, one that is no http URL or has a password in it, a name without a password.
 * Source: etcd v3.4, API reference (KV, Lease, Watch); `concurrency.Mutex` of its Go client, and etcd-io/etcd 11456.
 */
export function etcd(endpoints: string | readonly string[], options: EtcdOptions = {}): LockBackend {
  const { prefix = "", username, password, callTimeoutMs, fetch = httpFetch(), clock = systemClock } = options;
  if (callTimeoutMs !== undefined) assertPositive("callTimeoutMs", callTimeoutMs);
  const credentials = resolveCredentials(username, password);
  const client = new EtcdClient({ endpoints: resolveEndpoints(endpoints), credentials, fetch, clock });

  const begin = (what: string, ttlMs: number) => {
    const limitMs = callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION);
    return new EtcdCall(client, what, Math.min(limitMs, ttlMs));
  };
  const placeOfLease = ({ key, owner, mode }: LockLease) => placeOf(prefix, { key, owner, mode: mode ?? "exclusive" });

  return {
    name: "etcd",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1_000, shared: true, fifo: true, push: true },

    async acquire(key, { ttlMs, owner, mode = "exclusive", queue = false }: AcquireOptions): Promise<LockAttempt> {
      assertPositive("ttlMs", ttlMs);
      const call = begin(`acquire ${quoted(key)}`, ttlMs);
      const place = placeOf(prefix, { key, owner, mode });
      const line = await tryFor({ client, call, place, ttlMs }, await call.ask(look(place)), { isQueued: queue });
      if (line.own?.isHeld) return { lease: { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) } };
      return { lease: null, retryAfterMs: await retryAfterMs(call, line) };
    },

    async extend(lease) {
      const { key, ttlMs } = lease;
      const call = begin(`extend ${quoted(key)}`, ttlMs);
      const place = placeOfLease(lease);
      const line = await call.ask(look(place));
      if (!line.own?.isHeld) return false;
      return keep({ client, call, place, ttlMs }, line, line.own);
    },

    async release(lease) {
      const call = begin(`release ${quoted(lease.key)}`, lease.ttlMs);
      const { own } = await call.ask(look(placeOfLease(lease)));
      if (own === undefined) return false;
      await call.ask(revoke(own.lease));
      return own.isHeld;
    },

    async extendMany(leases) {
      if (leases.length === 0) return [];
      const call = begin(`extend ${leases.length} locks`, Math.min(...leases.map(({ ttlMs }) => ttlMs)));
      const asked = leases.map((lease) => ({ ttlMs: lease.ttlMs, place: placeOfLease(lease) }));
      const looks = chunksOf(asked, LOOKS_PER_TRANSACTION).map((chunk) => call.ask(lookAtAll(chunk.map(({ place }) => place))));
      const lines = (await Promise.all(looks)).flat();
      return inParallel(asked, KEEPALIVES_AT_ONCE, async (errand, index) => {
        const line = lines[index];
        return line?.own?.isHeld === true && keep({ client, call, ...errand }, line, line.own);
      });
    },

    watch(waiter: LockWaiter, wake) {
      const what = `watch ${quoted(waiter.key)}`;
      return watchPlace(client, placeOf(prefix, waiter), { what, limitMs: callTimeoutMs ?? WATCH_TIMEOUT_MS, wake });
    },
  };
}

/** What is left of the holder's lease, in ms; 0 when it has none or nobody says. */
async function retryAfterMs(call: EtcdCall, { rival }: Line): Promise<number> {
  if (rival === undefined) return 1;
  if (rival.lease === "0") return 0;
  return call.ask(remaining(rival.lease)).then(
    (leftMs) => Math.max(1, leftMs),
    () => 0,
  );
}

function chunksOf<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}

/** What `work` gives for each item, in order; never more than `count` of them at once. */
async function inParallel<T, R>(
  items: readonly T[],
  count: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const rest = items.entries();
  const worker = async () => {
    for (const [index, item] of rest) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: count }, worker));
  return results;
}

/** A key as it may stand in a message. */
function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 100));
}
