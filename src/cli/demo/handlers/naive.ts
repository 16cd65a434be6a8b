import type pg from "pg";
import type { Handler } from "../broker.ts";
import { work } from "./work.ts";

/** What most programs begin with: find a free voucher, then write the user into it, then tell the user. */
export function naive(database: pg.Pool): Handler {
  return async ({ data }) => {
    const { rows } = await database.query<{ id: number; code: string }>(
      "select id, code from voucher_item where user_id is null order by id limit 1",
    );
    const voucher = rows[0];
    if (voucher === undefined) throw new Error("no vouchers left");
    await work();
    await database.query("update voucher_item set user_id = $1 where id = $2", [data.user_id, voucher.id]);
    await database.query("insert into notification (user_id, code) values ($1, $2)", [data.user_id, voucher.code]);
  };
}
