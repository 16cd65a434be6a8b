import { type Clock, systemClock } from "../clock.ts";
import type { LockBackend } from "./lock.ts";
import { GetLocks } from "./mysql-get-lock.ts";
import { LeaseRows } from "./mysql-lease-row.ts";
import { assertPositive, describeServer, invalid, type MysqlPool } from "./mysql-pool.ts";
import { quoteTable } from "./mysql-statements.ts";

export interface MysqlLockOptions {
  /** The table, or `schema.table`. Made when it is first missed, if the account may. @default "exclaim_locks" */
  readonly table?: string;
  /** How long one call waits for a connection and the server's answer together, in ms. @default 5 % of the lease's ttl, at least 250 */
  readonly callTimeoutMs?: number;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

export interface MysqlGetLockOptions {
  /** Put before the 40 characters of each name: letters, digits, `_`, `.`, `:` and `-`, at most 24. The server has one set of names for
   * all its databases. @default "exclaim:" */
  readonly prefix?: string;
  /** How long one call waits for a connection and the server's answer together, in ms. @default 5 % of the lease's ttl, at least 250 */
  readonly callTimeoutMs?: number;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock as a row of a table of MySQL 5.7 or MariaDB 10.3 and newer, with a ttl by the server's clock.
 * Shape: `pool` is a pool of `mysql2/promise`, straight or through a proxy: each call is one statement, and nothing is kept in a
 *   session. The row of a key is found by the SHA-256 of its UTF-8: `select * from exclaim_locks where key_hash = unhex(sha2('order:1',
 *   256))`. It needs no isolation level, and commits by itself where the pool's connections do not.
 * Unit: ms. Every call ends within `callTimeoutMs`, whatever the driver's own options are and however the server hangs.
 * Connections: each call takes one of the pool for its statement. One whose answer did not come in time is kept up to 30 s for it, so
 *   that a lock won late is given back, and only then returned or closed.
 * Died in between: the lease runs out after its ttl; its row goes when the key is next taken, or with a sweep.
 * Known limits: exclusive only; waiters poll, and are not served in their order. A failover to a replica that lags behind loses the
 *   leases it had not yet. Of several servers that take writes, as with Galera, one must be chosen for locks. A step of the server's
 *   clock ends leases early or late.
 * Throws CONFIG_INVALID: no pool, one of callbacks, a bad option, or (from a call) a table that is missing and may not be made, or is
 *   another's: the message has the statement that makes it.
 * Source: MySQL 8.4 manual, "INSERT ... ON DUPLICATE KEY UPDATE Statement", "Information Functions" (LAST_INSERT_ID), "InnoDB Locking".
 */
export function mysql(pool: MysqlPool, options: MysqlLockOptions = {}): LockBackend {
  const { table = "exclaim_locks", callTimeoutMs, clock = systemClock } = options;
  const server = describeServer("mysql", pool);
  assertCallTimeout(server.backend, callTimeoutMs);
  const quoted = typeof table === "string" ? quoteTable(table) : undefined;
  if (quoted === undefined) throw invalid(server.backend, 'table is the name of a table, or "schema.table".');
  return asBackend(new LeaseRows({ server, pool, table: quoted, callTimeoutMs, clock }));
}

/**
 * A lock that MySQL 5.7.5 or MariaDB 10.0.2 and newer hold for as long as a connection lives: `GET_LOCK`, and no table.
 * Shape: `pool` is a pool of `mysql2/promise` that leads straight to the server. The lock's name is `prefix` and the SHA-1 of the key,
 *   since the server tells neither case nor more than 64 characters apart.
 * Unit: ms. Every call ends within `callTimeoutMs`, whatever the driver's own options are and however the server hangs.
 * Connections: all locks are on one connection, which is checked out of the pool while any is held or asked for.
 * After: `extend` is true when the server said that the connection has the lock. Once it is lost, so are all its locks: false.
 * Died in between: the server frees the locks when it sees the connection closed. After a power cut or in a broken network it sees
 *   nothing; then it ends the connection when nobody extended anything on it for three ttls.
 * Known limits: exclusive only; waiters poll, and are not served in their order. The locks are of one server: not of its replicas, not
 *   of the other nodes of Galera or Group Replication. Whoever ends the connection frees them while the holder learns of it with its
 *   next extension.
 * Throws CONFIG_INVALID: no pool, one of callbacks, a bad option, or (from a call) a server that is too old, or a proxy in between,
 *   which may lead a lock and its end to two connections.
 * Source: MySQL 8.4 manual, "Locking Functions".
 */
export function mysqlGetLock(pool: MysqlPool, options: MysqlGetLockOptions = {}): LockBackend {
  const { prefix = "exclaim:", callTimeoutMs, clock = systemClock } = options;
  const server = describeServer("mysql-get-lock", pool);
  assertCallTimeout(server.backend, callTimeoutMs);
  if (typeof prefix !== "string" || !/^[\w.:-]{0,24}$/.test(prefix)) {
    throw invalid(server.backend, "prefix is of letters, digits, _ . : and -, at most 24.");
  }
  return asBackend(new GetLocks({ server, pool, prefix, callTimeoutMs, clock }));
}

function assertCallTimeout(backend: string, callTimeoutMs: number | undefined): void {
  if (callTimeoutMs !== undefined) assertPositive(backend, "callTimeoutMs", callTimeoutMs);
}

/** Functions of their own, which stay what they are when a caller takes one of them or spreads them all. */
function asBackend(locks: LockBackend & Required<Pick<LockBackend, "extendMany">>): LockBackend {
  const { name, capabilities } = locks;
  return {
    name,
    capabilities,
    acquire: (key, acquisition) => locks.acquire(key, acquisition),
    extend: (lease) => locks.extend(lease),
    release: (lease) => locks.release(lease),
    extendMany: (leases) => locks.extendMany(leases),
  };
}
