import { type Clock, systemClock } from "../clock.ts";
import type { LockBackend } from "./lock.ts";
import { AdvisoryLocks } from "./postgres-advisory.ts";
import { LeaseRows } from "./postgres-lease-row.ts";
import { assertPositive, describeServer, invalid, type PostgresPool } from "./postgres-pool.ts";
import { type PostgresListener, WakeUps } from "./postgres-wake-ups.ts";

export interface PostgresLockOptions {
  /** Where `migrate()` made the table `locks`. @default "exclaim" */
  readonly schema?: string;
  /** How long one call waits for a connection and the server's answer together, in ms. @default 5 % of the lease's ttl, at least 250 */
  readonly callTimeoutMs?: number;
  /**
   * A connected `pg.Client` that hears of keys that were freed, so that waiters need not poll. It goes straight to the server: a pooler
   * that shares its connections carries no notifications. Whoever opened it closes it; one that broke is not replaced.
   * @default none, and no wake-ups
   */
  readonly listener?: PostgresListener;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

export interface PostgresAdvisoryLockOptions {
  /** How long one call waits for a connection and the server's answer together, in ms. @default 5 % of the lease's ttl, at least 250 */
  readonly callTimeoutMs?: number;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock as a row of a PostgreSQL table, with a ttl by the server's clock.
 * Shape: `pool` is a `pg.Pool`, straight or through any pooler: each call is one statement, and nothing is kept in a session. The row
 *   of a key is found by the SHA-256 of its UTF-8: `select * from exclaim.locks where key_hash = sha256('order:1')`.
 * Unit: ms. Every call ends within `callTimeoutMs`, whatever the driver's own options are and however the server hangs.
 * Connections: each call takes one of the pool for its statement. One whose answer did not come in time is kept up to 30 s for it, so
 *   that a lock won late is given back, and only then returned or closed.
 * Died in between: the lease runs out after its ttl; its row goes when the key is next taken, or with a sweep.
 * Known limits: a failover to a replica that lags behind loses the leases it had not yet; shared leases of one key are written one
 *   after another; waiters are not served in their order. A step of the server's clock ends leases early or late.
 * Throws CONFIG_INVALID: no pool, a bad option, or (from a call) a right that the role lacks. SCHEMA_OUTDATED (from a call):
 *   `migrate()` was not called.
 * Source: PostgreSQL manual, "Explicit Locking", "Transaction Isolation" (Read Committed), "NOTIFY".
 */
export function postgres(pool: PostgresPool, options: PostgresLockOptions = {}): LockBackend {
  const { schema = "exclaim", callTimeoutMs, listener, clock = systemClock } = options;
  const server = describeServer("postgres", pool);
  assertCallTimeout(server.backend, callTimeoutMs);
  if (typeof schema !== "string" || schema === "" || schema.includes("\0")) {
    throw invalid(server.backend, "schema is the name of the schema that migrate() filled.");
  }
  if (listener !== undefined && (typeof listener?.on !== "function" || typeof listener.query !== "function")) {
    throw invalid(server.backend, "listener is a connected pg.Client.");
  }
  const wakeUps = listener && new WakeUps(listener);
  return asBackend(new LeaseRows({ server, pool, schema: `"${schema.replaceAll('"', '""')}"`, callTimeoutMs, clock, wakeUps }));
}

/**
 * A lock that PostgreSQL holds for as long as a connection lives: `pg_advisory_lock`, and no table.
 * Shape: `pool` is a `pg.Pool` that leads straight to the server. The lock is on `hashtextextended(key, 0)`, 64 bits of the key, so
 *   that other programs can take the same one; two keys of one number only keep each other out without need.
 * Unit: ms. Every call ends within `callTimeoutMs`, whatever the driver's own options are and however the server hangs.
 * Connections: all locks are on one connection, which is checked out of the pool while any is held or asked for.
 * After: `extend` is true when the connection answered and still holds. Once it is lost, so are all its locks: false.
 * Died in between: the server frees the locks when it sees the connection closed. After a power cut or in a broken network it sees
 *   nothing; then it ends the connection when nobody extended anything on it for three ttls (before PostgreSQL 14: when its
 *   `tcp_keepalives_*` settings say so).
 * Known limits: a failover loses the locks; whoever ends the server's process frees them while the holder learns of it with its next
 *   extension; waiters are not served in their order, and poll.
 * Throws CONFIG_INVALID: no pool, a bad option, or (from a call) a pooler in between, which may lead a lock and its end to two
 *   connections.
 * Source: PostgreSQL manual, "Advisory Locks", "System Administration Functions".
 */
export function postgresAdvisory(pool: PostgresPool, options: PostgresAdvisoryLockOptions = {}): LockBackend {
  const { callTimeoutMs, clock = systemClock } = options;
  const server = describeServer("postgres-advisory", pool);
  assertCallTimeout(server.backend, callTimeoutMs);
  return asBackend(new AdvisoryLocks({ server, pool, callTimeoutMs, clock }));
}

function assertCallTimeout(backend: string, callTimeoutMs: number | undefined): void {
  if (callTimeoutMs !== undefined) assertPositive(backend, "callTimeoutMs", callTimeoutMs);
}

/** Functions of their own, which stay what they are when a caller takes one of them or spreads them all. */
function asBackend(locks: LockBackend & Required<Pick<LockBackend, "extendMany">>): LockBackend {
  const { name, capabilities, watch } = locks;
  return {
    name,
    capabilities,
    acquire: (key, acquisition) => locks.acquire(key, acquisition),
    extend: (lease) => locks.extend(lease),
    release: (lease) => locks.release(lease),
    extendMany: (leases) => locks.extendMany(leases),
    ...(watch === undefined ? {} : { watch }),
  };
}
