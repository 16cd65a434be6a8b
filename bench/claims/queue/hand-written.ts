import { createRequire } from "node:module";
import type { Redis } from "ioredis";
import type pg from "pg";
import type { Voucherless } from "./broker.ts";

/** What is used of redlock 5, whose own types no module resolution finds. */
const { default: Redlock } = createRequire(import.meta.url)("redlock-5") as {
  default: new (
    clients: readonly Redis[],
  ) => {
    acquire(keys: readonly string[], ttlMs: number): Promise<{ release(): Promise<unknown> }>;
  };
};

/** What a careful person writes: the user's lock, a free row that nobody else is about to take, its completion, the unlock. */
export function handWritten(
  database: pg.Pool,
  clients: readonly Redis[],
  { table, ttlMs }: { readonly table: string; readonly ttlMs: number },
): (data: Voucherless) => Promise<{ code: string }> {
  const redlock = new Redlock(clients);
  const claim = `update ${table} set user_id = $1
    where id = (select id from ${table} where user_id is null order by id limit 1 for update skip locked) returning id, code`;
  const complete = `update ${table} set done = true where id = $1 and user_id = $2`;
  return async ({ user_id }) => {
    const lock = await redlock.acquire([`voucher:${user_id}`], ttlMs);
    try {
      const [voucher] = (await database.query<{ id: string; code: string }>(claim, [user_id])).rows;
      if (voucher === undefined) throw new Error("no voucher is left");
      const completed = await database.query(complete, [voucher.id, user_id]);
      if (completed.rowCount !== 1) throw new Error(`voucher ${voucher.id} is another's by now`);
      return { code: voucher.code };
    } finally {
      await lock.release();
    }
  };
}
