import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { LockBackend } from "../../../lock/lock.ts";

/** What the write is done with. */
export type Writer = Pick<pg.ClientBase, "query">;

/** Runs `write` while nobody else holds the lock of that row. */
export type LockRow = (id: number, write: (writer: Writer) => Promise<void>) => Promise<void>;

const TTL_MS = 5_000;
const RETRY_MS = 5;

const LOCK = "pg_advisory_lock(hashtext(current_schema || '.voucher_item'), $1)";
const UNLOCK = "pg_advisory_unlock(hashtext(current_schema || '.voucher_item'), $1)";

/** An advisory lock of PostgreSQL, on the connection that writes: with another one, waiters could leave none to the holder. */
export function lockRowInPostgres(database: pg.Pool): LockRow {
  return async (id, write) => {
    const connection = await database.connect();
    try {
      await connection.query(`select ${LOCK}`, [id]);
      await write(connection);
      await connection.query(`select ${UNLOCK}`, [id]);
      connection.release();
    } catch (error) {
      // Closing the connection is what surely lets the lock go.
      connection.release(true);
      throw error;
    }
  };
}

/** A lock of the given product, asked for again and again until it is free. */
export function lockRowBy(lock: LockBackend, prefix: string, database: Writer): LockRow {
  return async (id, write) => {
    const owner = randomBytes(16).toString("hex");
    let attempt = await lock.acquire(`${prefix}:voucher:${id}`, { ttlMs: TTL_MS, owner });
    while (attempt.lease === null) {
      await sleep(RETRY_MS * (0.5 + Math.random()));
      attempt = await lock.acquire(`${prefix}:voucher:${id}`, { ttlMs: TTL_MS, owner });
    }
    try {
      await write(database);
    } finally {
      await lock.release(attempt.lease);
    }
  };
}
