import type pg from "pg";
import type { DemoQueue, VoucherMessage } from "./broker.ts";

/** One message a row: larger chunks block the broker for longer and are no faster. */
const CHUNK = 200;
/** One row in twenty is published a second time under another id, as a producer does that did not hear of its success. */
const TWICE_EVERY = 20;

/**
 * Publishes one message for every row of the file that names a user, and records each in the table `message`.
 * Shape: `client` finds the variant's tables in its search path; message ids are `row-{line}` and `row-{line}-again`.
 * After: the broker has accepted every message under the id it was given.
 * Returns how many were published.
 * Throws what the queue throws.
 */
export async function fanOut(
  client: Pick<pg.Pool, "query">,
  imported: string,
  queue: Pick<DemoQueue, "publish">,
): Promise<number> {
  let published = 0;
  for (let line = 0; ; ) {
    const { rows } = await client.query<{ line: number; user_id: number }>(
      `select line, user_id from ${imported}.import_row where line > $1 order by line limit $2`,
      [line, CHUNK],
    );
    const last = rows.at(-1);
    if (last === undefined) return published;
    line = last.line;
    const messages = rows.flatMap(messagesOf);
    await client.query("insert into message (message_id, user_id) select * from unnest($1::text[], $2::integer[])", [
      messages.map(({ id }) => id),
      messages.map(({ data }) => data.user_id),
    ]);
    await queue.publish(messages);
    published += messages.length;
  }
}

function messagesOf({ line, user_id }: { line: number; user_id: number }): VoucherMessage[] {
  const ids = line % TWICE_EVERY === 0 ? [`row-${line}`, `row-${line}-again`] : [`row-${line}`];
  return ids.map((id) => ({ id, data: { user_id } }));
}
