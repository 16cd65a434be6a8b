import type pg from "pg";
import type { Handler, Notification } from "../broker.ts";

/** Tells a user of their voucher: once for each message, however often the broker delivers it. */
export function notify(database: pg.Pool): Handler<Notification> {
  return async ({ id, data }) => {
    await database.query(
      "insert into notification (user_id, code, message_id) values ($1, $2, $3) on conflict (message_id) do nothing",
      [data.user_id, data.code, id],
    );
  };
}
