import type pg from "pg";
import type { Handler } from "../broker.ts";
import type { LockRow } from "./lock-row.ts";
import { work } from "./work.ts";

/**
 * The usual repair of the naive handler: a lock around the write. It does not help. The voucher was chosen before the lock was
 * asked for, so whoever waited for it writes into a row that has an owner by now.
 */
export function lockAfterRead(database: pg.Pool, lockRow: LockRow): Handler {
  return async ({ data }) => {
    const { rows } = await database.query<{ id: number; code: string }>(
      "select id, code from voucher_item where user_id is null order by id limit 1",
    );
    const voucher = rows[0];
    if (voucher === undefined) throw new Error("no vouchers left");
    await work();
    await lockRow(voucher.id, async (writer) => {
      await writer.query("update voucher_item set user_id = $1 where id = $2", [data.user_id, voucher.id]);
    });
    await database.query("insert into notification (user_id, code) values ($1, $2)", [data.user_id, voucher.code]);
  };
}
